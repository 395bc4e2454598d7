import { useMemo } from "react";
import type { Summary } from "../../api/types.ts";
import { TimeChart } from "../../charts/TimeChart.tsx";
import type { ChartData } from "../../charts/types.ts";
import { count } from "../../lib/format.ts";
import { Panel } from "../../parts/Panel.tsx";

type LaneHistory = Summary["lanes"][number];

/** Those with the most calls say the most. */
const SHOWN_MAX = 4;

/** For each lane how many calls are in flight, how many may be, and when the provider refused some. */
export function LaneCharts({ lanes }: { lanes: LaneHistory[] }) {
  const busiest = lanes
    .filter(({ samples }) => samples.length > 1)
    .sort((one, other) => peak(other) - peak(one))
    .slice(0, SHOWN_MAX);
  return busiest.map((lane) => <LaneChart key={`${lane.provider} ${lane.model} ${lane.mode}`} lane={lane} />);
}

function LaneChart({ lane }: { lane: LaneHistory }) {
  const data = useMemo(() => inFlightOf(lane), [lane]);
  const title = `In flight: ${lane.model} at ${lane.provider}${lane.mode === "realtime" ? "" : ` (${lane.mode})`}`;
  return (
    <Panel title={title}>
      <TimeChart data={data} label={`${title}, against the limit, over time`} />
    </Panel>
  );
}

function peak({ samples }: LaneHistory): number {
  return samples.reduce((most, sample) => Math.max(most, sample.in_flight), 0);
}

function inFlightOf({ samples }: LaneHistory): ChartData {
  return {
    times: samples.map(({ at }) => at),
    format: (value) => count(value),
    ticks: samples.map(({ at, throttled }) => ({ at, count: throttled })),
    series: [
      { name: "in flight", tone: "flight", look: "steps", values: samples.map(({ in_flight }) => in_flight) },
      { name: "limit", tone: "dim", look: "dashed steps", values: samples.map(({ limit }) => limit) },
    ],
  };
}
