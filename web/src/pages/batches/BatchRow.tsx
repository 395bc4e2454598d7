import type { Batch } from "../../api/types.ts";
import { useLink } from "../../app/useRoute.ts";
import { countsOf, isFinal } from "../../lib/counts.ts";
import { age, duration, money, plural, range, rate } from "../../lib/format.ts";
import { etaOf, linesPerSecond } from "../../lib/pace.ts";
import { endOf, laneWait, modelsOf, nameOf } from "../../lib/words.ts";
import { CountsBar } from "../../parts/CountsBar.tsx";
import { isPaused, StateBadge } from "../../parts/StateBadge.tsx";
import classes from "./BatchRow.module.css";
import { paces } from "./paces.ts";

const SOON_S = 3_600;

interface Props {
  batch: Batch;
  now: number;
  showTenant: boolean;
}

/** The cells of one batch; the link of its name covers the whole row. */
export function BatchRow({ batch, now, showTenant }: Props) {
  const link = useLink();
  const counts = countsOf(batch);
  const name = nameOf(batch);
  const tenant = showTenant ? (batch.batchrouter?.tenant ?? null) : undefined;
  const under = [tenant, modelsOf(batch), name === batch.id ? null : batch.id.slice(0, 14)].filter(Boolean);
  return (
    <>
      <div role="cell" className={classes.name}>
        <a href={link(["batches", batch.id], tenant ? { tenant } : {})} className={`cut ${classes.link} ${name === batch.id ? "mono" : ""}`} title={name}>
          {name}
        </a>
        <div className={`cut ${classes.under}`}>{under.join(" · ")}</div>
      </div>
      <div role="cell" className={classes.state}>
        <StateBadge batch={batch} />
      </div>
      <div role="cell" className={classes.progress}>
        {batch.errors?.data.length ? (
          <span className={classes.refused}>{plural(batch.errors.data.length, "error")} in the file, nothing was sent</span>
        ) : (
          <CountsBar counts={counts} detail="short" />
        )}
      </div>
      <div role="cell" className={`num ${classes.pace}`}>
        <Pace batch={batch} now={now} remaining={counts.total - counts.done - counts.failed} />
      </div>
      <div role="cell" className={`num ${classes.cost}`}>
        {money(batch.usage?.cost)}
      </div>
      <div role="cell" className={`num ${classes.age}`} title={new Date(batch.created_at * 1_000).toLocaleString()}>
        {age(now - batch.created_at)}
      </div>
      <div role="cell" className={`num ${classes.deadline}`}>
        <Deadline batch={batch} now={now} />
      </div>
    </>
  );
}

function Pace({ batch, now, remaining }: { batch: Batch; now: number; remaining: number }) {
  if (isFinal(batch)) {
    const end = endOf(batch);
    return <span className="dim">{end === null ? "" : `took ${duration(end - batch.created_at)}`}</span>;
  }
  if (isPaused(batch) || batch.status !== "in_progress") return null;
  const waits = (batch.batchrouter.lanes ?? []).filter((lane) => lane.waiting + lane.retrying > 0);
  const reasons = waits.map((lane) => laneWait(lane, now)).filter((reason) => reason !== null);
  if (reasons.length > 0 && reasons.length === waits.length) {
    return (
      <div className={classes.waits} title={reasons[0]}>
        <div>waits</div>
        <div className="cut">{reasons[0]}</div>
      </div>
    );
  }
  const samples = paces.of(batch.id);
  const eta = etaOf(samples, remaining, batch.in_progress_at);
  return (
    <>
      <div>{rate(linesPerSecond(samples))}</div>
      <div className="dim">{eta === null || now < batch.created_at ? "" : `${range(eta.low, eta.high)} left`}</div>
    </>
  );
}

function Deadline({ batch, now }: { batch: Batch; now: number }) {
  if (isFinal(batch)) return <span className="dim">–</span>;
  const left = batch.expires_at - now;
  return <span className={left < SOON_S ? classes.soon : undefined}>{left > 0 ? `in ${duration(left)}` : "over"}</span>;
}
