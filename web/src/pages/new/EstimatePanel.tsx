import { Skeleton } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import type { Estimate, FileObject } from "../../api/types.ts";
import { useApi } from "../../app/useApi.ts";
import { count, duration, money, short } from "../../lib/format.ts";
import { modeWords } from "../../lib/words.ts";
import { ErrorNotice } from "../../parts/ErrorNotice.tsx";
import { Panel } from "../../parts/Panel.tsx";
import classes from "./NewBatch.module.css";

/** What the batch would take; told before it is started. */
export function EstimatePanel({ file }: { file: FileObject }) {
  const api = useApi();
  const { data, error } = useQuery({
    queryKey: ["estimate", api.tenant, file.id],
    queryFn: ({ signal }) => api.estimate(file.id, signal),
    staleTime: Number.POSITIVE_INFINITY,
  });
  return (
    <Panel title="Estimate">
      <ErrorNotice error={error} />
      {data === undefined ? error == null && <Skeleton height={90} /> : <Lanes estimate={data} />}
      <p className="dim" style={{ marginBottom: 0 }}>
        Tokens are reckoned from sizes. The lower sum is for the inputs alone, the upper one for answers as long as the
        lines allow.
      </p>
    </Panel>
  );
}

function Lanes({ estimate }: { estimate: Estimate }) {
  if (estimate.lanes.length === 0) return <p className="dim">No line of this file can run.</p>;
  return (
    <div className={classes.wide} role="region" aria-label="Estimate of each model" tabIndex={0}>
      <table className={classes.table}>
        <thead>
          <tr>
            <th scope="col">Model</th>
            <th scope="col" className={classes.number}>
              Lines
            </th>
            <th scope="col" className={classes.number}>
              Tokens in
            </th>
            <th scope="col">Sent by</th>
            <th scope="col" className={classes.number}>
              Cost
            </th>
            <th scope="col" className={classes.number}>
              Time
            </th>
          </tr>
        </thead>
        <tbody>
          {estimate.lanes.map((lane) =>
            lane.modes.map((mode, index) => (
              <tr key={`${lane.provider}/${lane.model}/${mode.mode}`}>
                <td>{index === 0 && `${lane.provider}/${lane.model}`}</td>
                <td className={classes.number}>{index === 0 && count(lane.lines)}</td>
                <td className={classes.number}>{index === 0 && short(lane.tokens.input.total)}</td>
                <td>
                  {modeWords(mode.mode)}
                  {lane.modes.length > 1 && mode.mode === lane.chosen && <span className="dim"> (as configured)</span>}
                </td>
                <td className={classes.number}>{costOf(mode.cost_of_inputs, mode.cost_most)}</td>
                <td className={classes.number}>{mode.seconds === null ? "unknown" : duration(mode.seconds)}</td>
              </tr>
            )),
          )}
        </tbody>
      </table>
    </div>
  );
}

function costOf(least: number | null, most: number | null): string {
  if (least === null) return "unknown";
  if (most === null) return `from ${money(least)}`;
  return most === least ? money(least) : `${money(least)} – ${money(most)}`;
}
