import type { Batch } from "../../api/types.ts";
export function Lines({ batch }: { batch: Batch }) { return <>{batch.id}</>; }
