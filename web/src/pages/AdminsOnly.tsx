import { Empty } from "../parts/Empty.tsx";

export function AdminsOnly({ what }: { what: string }) {
  return (
    <Empty title="For keys of role admin">
      {what} concern all tenants. Sign in with an admin's key: <code>batchrouter keys create --role admin</code> makes one.
    </Empty>
  );
}
