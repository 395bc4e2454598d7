import type { LineSample, Summary } from "../../api/types.ts";
import { useLink } from "../../app/useRoute.ts";
import { count, percent } from "../../lib/format.ts";
import { Panel } from "../../parts/Panel.tsx";
import classes from "./Outcomes.module.css";

interface Group {
  key: string;
  name: string;
  message?: string | null;
  count: number;
  sample: LineSample | null;
  tone: string;
  /** What the list of lines is narrowed to. */
  filter: Record<string, string>;
}

/** Reasons to look twice; the others are what one hopes for. */
const DOUBTFUL = new Set(["length", "content_filter"]);

/** What came back, in groups: each with its size, and one line of it to look at. */
export function Outcomes({ batchId, summary }: { batchId: string; summary: Summary }) {
  const errors = summary.errors.map(
    (error): Group => ({
      key: `${error.outcome} ${error.status_code} ${error.code}`,
      name: [error.status_code, error.code].filter(Boolean).join(" ") || error.outcome || "error",
      message: error.message,
      count: error.count,
      sample: error.sample,
      tone: "failed",
      filter: error.code || error.status_code ? { code: String(error.code ?? error.status_code) } : { outcome: error.outcome ?? "failed" },
    }),
  );
  const reasons = summary.finish_reasons.map(
    ({ reason, count: size, sample }): Group => ({
      key: reason,
      name: reason,
      count: size,
      sample,
      tone: DOUBTFUL.has(reason) ? "retry" : "done",
      filter: { finish_reason: reason },
    }),
  );
  return (
    <>
      <Panel title="Finish reasons">
        <Groups batchId={batchId} groups={reasons} nothing="No answers yet." />
      </Panel>
      <Panel title="Errors">
        <Groups batchId={batchId} groups={errors} nothing="No errors." />
      </Panel>
    </>
  );
}

function Groups({ batchId, groups, nothing }: { batchId: string; groups: Group[]; nothing: string }) {
  const link = useLink();
  const all = groups.reduce((sum, group) => sum + group.count, 0);
  if (all === 0) return <p className={classes.nothing}>{nothing}</p>;
  return (
    <ul className={classes.groups}>
      {groups.map((group) => (
        <li key={group.key}>
          <div className={classes.line}>
            <a href={link(["batches", batchId, "lines"], group.filter)}>{group.name}</a>
            <span className="num">
              <b>{count(group.count)}</b> <span className="dim">{percent(group.count, all)}</span>
            </span>
          </div>
          <div className={classes.bar} aria-hidden>
            <span style={{ width: `${(100 * group.count) / all}%`, background: `var(--${group.tone})` }} />
          </div>
          {(group.message || group.sample) && (
            <div className={classes.more}>
              {group.message && <span className={classes.message}>{group.message}</span>}
              {group.sample && (
                <a href={link(["batches", batchId, "lines"], { ...group.filter, line: String(group.sample.line) })}>
                  for example {group.sample.custom_id}
                </a>
              )}
            </div>
          )}
        </li>
      ))}
    </ul>
  );
}
