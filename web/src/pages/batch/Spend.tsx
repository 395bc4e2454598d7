import { useQuery } from "@tanstack/react-query";
import type { Batch, Estimate } from "../../api/types.ts";
import { useApi } from "../../app/useApi.ts";
import { isFinal } from "../../lib/counts.ts";
import { money } from "../../lib/format.ts";
import { type Fact, Facts } from "../../parts/Facts.tsx";
import { Panel } from "../../parts/Panel.tsx";
import classes from "./Spend.module.css";

/** What it cost so far, beside what it was thought to cost and what it may. Nothing where no price is known. */
export function Spend({ batch }: { batch: Batch }) {
  const api = useApi();
  const { data: estimate } = useQuery({
    queryKey: ["estimate", api.tenant, batch.input_file_id],
    queryFn: ({ signal }) => api.estimate(batch.input_file_id, signal),
    staleTime: Infinity,
    retry: false, // the file may be gone; nothing is lost but this
  });
  const [least, most] = estimate ? bounds(estimate) : [null, null];
  const spent = batch.usage?.cost ?? null;
  const budget = batch.batchrouter?.max_cost ?? null;
  const { total, completed, failed } = batch.request_counts;
  const ended = completed + failed;
  const projected = spent !== null && ended > 0 && !isFinal(batch) ? (spent / ended) * total : null;
  if (spent === null && budget === null && most === null) return null;
  const scale = Math.max(budget ?? 0, projected ?? 0, spent ?? 0, budget === null ? (least ?? 0) : 0) || 1;
  const facts: (Fact | null)[] = [
    { name: "Spent", value: money(spent), more: ended > 0 && spent !== null ? `${money(spent / ended)} a line` : null },
    projected === null ? null : { name: "At this rate", value: money(projected), more: "for all lines" },
    least === null ? null : { name: "Estimate", value: most === null ? `from ${money(least)}` : `${money(least)} – ${money(most)}` },
    budget === null ? null : { name: "Budget", value: money(budget), more: over(projected, budget) },
  ];
  return (
    <Panel title="Spend">
      <div className={classes.bar} role="img" aria-label={`${money(spent)} spent${budget === null ? "" : ` of ${money(budget)}`}`}>
        <span className={classes.projected} style={{ width: `${(100 * (projected ?? 0)) / scale}%` }} />
        <span className={classes.spent} style={{ width: `${(100 * (spent ?? 0)) / scale}%` }} />
        {budget !== null && <span className={classes.budget} style={{ left: `calc(${(100 * budget) / scale}% - 2px)` }} />}
      </div>
      <Facts facts={facts.filter((fact) => fact !== null)} />
    </Panel>
  );
}

function over(projected: number | null, budget: number): string | null {
  return projected !== null && projected > budget ? "lines beyond it will fail with max_cost_exceeded" : null;
}

/** Sums over the lanes, each in the mode that its lines would get; null where one lane's is not known. */
function bounds({ lanes }: Estimate): [number | null, number | null] {
  const chosen = lanes.map((lane) => lane.modes.find(({ mode }) => mode === lane.chosen) ?? lane.modes[0]);
  const sum = (values: (number | null | undefined)[]) =>
    values.reduce<number | null>((all, value) => (all === null || value == null ? null : all + value), 0);
  if (chosen.length === 0) return [null, null];
  return [sum(chosen.map((mode) => mode?.cost_of_inputs)), sum(chosen.map((mode) => mode?.cost_most))];
}
