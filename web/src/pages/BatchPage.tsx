export function BatchPage({ id, part }: { id: string; part: string }) { return <>{id}{part}</>; }
