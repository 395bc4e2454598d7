import type { Line } from "../api/types.ts";
import classes from "./StateBadge.module.css";

const TONES: Record<string, string> = { succeeded: "done", failed: "failed", expired: "failed" };

/** An answer that breaks its schema is no success, though it came. */
export function OutcomeBadge({ line }: { line: Pick<Line, "outcome" | "invalid_output"> }) {
  const invalid = line.outcome === "succeeded" && line.invalid_output;
  return (
    <span className={classes.badge} data-tone={invalid ? "retry" : (TONES[line.outcome] ?? "idle")}>
      <span className={classes.dot} aria-hidden />
      {invalid ? "invalid output" : line.outcome}
    </span>
  );
}
