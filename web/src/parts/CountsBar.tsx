import type { Counts } from "../lib/counts.ts";
import { count, percent } from "../lib/format.ts";
import classes from "./CountsBar.module.css";

const PARTS: { of: keyof Counts; name: string; tone: string }[] = [
  { of: "done", name: "done", tone: "done" },
  { of: "failed", name: "failed", tone: "failed" },
  { of: "inFlight", name: "in flight", tone: "flight" },
  { of: "retrying", name: "retrying", tone: "retry" },
  { of: "waiting", name: "waiting", tone: "wait" },
  { of: "unfinished", name: "never finished", tone: "wait" },
];
/** Told even when there is nothing of it: people look for them. */
const ALWAYS = new Set(["done", "failed"]);
const RUNNING = new Set(["inFlight", "retrying", "waiting"]);

/** Where a batch's lines are: a bar, and the same as numbers. `detail` is how many of the numbers stand below it. */
export function CountsBar({ counts, detail }: { counts: Counts; detail: "none" | "short" | "all" }) {
  const { total } = counts;
  const words = PARTS.filter(({ of }) => counts[of] > 0)
    .map(({ of, name }) => `${count(counts[of])} ${name}`)
    .join(", ");
  const running = total === 0 || counts.done + counts.failed + counts.unfinished < total;
  const told = PARTS.filter(
    ({ of }) => counts[of] > 0 || ALWAYS.has(of) || (detail === "all" && running && RUNNING.has(of)),
  );
  return (
    <div>
      <div
        className={classes.bar}
        data-large={detail === "all" || undefined}
        role="img"
        aria-label={total ? `${words || "nothing yet"} of ${count(total)} lines` : "no lines counted yet"}
      >
        {total > 0 &&
          PARTS.filter(({ of }) => counts[of] > 0).map(({ of, tone }) => (
            <span key={of} data-tone={tone} style={{ width: `${(100 * counts[of]) / total}%` }} />
          ))}
      </div>
      {detail !== "none" && (
        <ul className={classes.numbers} data-large={detail === "all" || undefined}>
          {told.map(({ of, name, tone }) => (
            <li key={of} data-tone={tone} data-none={counts[of] === 0 || undefined}>
              <span className={classes.key} aria-hidden />
              <b>{count(counts[of])}</b> {name}
              {detail === "all" && of === "done" && total > 0 && <i> {percent(counts.done, total)}</i>}
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}
