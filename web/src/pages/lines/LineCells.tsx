import { count, milliseconds, short } from "../../lib/format.ts";
import type { LineRow } from "../../lib/lineRows.ts";
import { OutcomeBadge } from "../../parts/OutcomeBadge.tsx";
import classes from "./LineCells.module.css";

/** The cells of one line; the link of its `custom_id` covers the whole row. */
export function LineCells({ line, href }: { line: LineRow; href: string }) {
  const failed = line.outcome !== "succeeded";
  const truncated = line.finish_reason === "length";
  const { usage } = line;
  return (
    <>
      <div role="cell" className={`num dim ${classes.no}`}>
        {count(line.line + 1)}
      </div>
      <div role="cell" className={classes.id}>
        <a href={href} className={`mono cut ${classes.link}`}>
          {line.custom_id}
        </a>
      </div>
      <div role="cell" className={classes.outcome}>
        <OutcomeBadge line={line} />
      </div>
      <div role="cell" className={`cut ${classes.preview}`}>
        {failed && <span className={classes.code}>{[line.status_code, line.error_code].filter(Boolean).join(" ")} </span>}
        {truncated && <span className={classes.cutOff}>cut off </span>}
        {line.reused && <span className="dim">reused </span>}
        {line.preview}
      </div>
      <div role="cell" className={`num ${classes.tokens}`}>
        {usage === null ? "–" : `${short(usage.input_tokens)} → ${short(usage.output_tokens)}`}
      </div>
      <div role="cell" className={`num ${classes.latency}`}>
        {milliseconds(line.latency_ms)}
      </div>
      <div role="cell" className={`num ${classes.tries}`}>
        {count(line.attempts)}
      </div>
      <div role="cell" className={`cut dim ${classes.lane}`}>
        {line.model ?? "–"}
      </div>
    </>
  );
}
