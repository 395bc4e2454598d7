import type { Batch, BatchStatus } from "../api/types.ts";
import classes from "./StateBadge.module.css";

const WORDS: Record<BatchStatus, string> = {
  validating: "validating",
  failed: "failed",
  in_progress: "in progress",
  finalizing: "finalizing",
  completed: "completed",
  expired: "expired",
  cancelling: "cancelling",
  cancelled: "cancelled",
};

/** Green is only what left nothing failed: half a failure must not look like success. */
function tone(batch: Pick<Batch, "status" | "request_counts">, paused: boolean): string {
  if (paused) return "retry";
  switch (batch.status) {
    case "completed":
      return batch.request_counts.failed > 0 ? "retry" : "done";
    case "failed":
    case "expired":
      return "failed";
    case "cancelled":
    case "cancelling":
      return "idle";
    default:
      return "flight";
  }
}

export function isPaused(batch: Pick<Batch, "batchrouter" | "status">): boolean {
  const running = batch.status === "validating" || batch.status === "in_progress";
  return running && batch.batchrouter?.paused_at != null;
}

export function StateBadge({ batch }: { batch: Pick<Batch, "status" | "request_counts" | "batchrouter"> }) {
  const paused = isPaused(batch);
  const live = !paused && (batch.status === "in_progress" || batch.status === "validating");
  return (
    <span className={classes.badge} data-tone={tone(batch, paused)} data-status={batch.status}>
      <span className={classes.dot} data-live={live || undefined} aria-hidden />
      {paused ? "paused" : WORDS[batch.status]}
    </span>
  );
}
