import { useLink } from "../app/useRoute.ts";
import { Empty } from "../parts/Empty.tsx";

export function NotFound() {
  const link = useLink();
  return (
    <Empty title="There is no such page">
      <a href={link(["batches"])}>To the batches</a>
    </Empty>
  );
}
