import { useMemo } from "react";
import type { Summary } from "../../api/types.ts";
import { TimeChart } from "../../charts/TimeChart.tsx";
import type { ChartData } from "../../charts/types.ts";
import { milliseconds } from "../../lib/format.ts";
import type { Point } from "../../lib/history.ts";
import { Panel } from "../../parts/Panel.tsx";

/** How long the calls took: over time, and all of them. */
export function LatencyPanel({ summary, points }: { summary: Summary; points: Point[] }) {
  const data = useMemo(() => latencyOf(points), [points]);
  const { p50, p95, p99, max } = summary.latency_ms;
  if (p50 === null) return null;
  const side = (
    <span className="dim num" style={{ fontSize: "var(--mantine-font-size-xs)" }}>
      all: p50 {milliseconds(p50)} · p95 {milliseconds(p95)} · p99 {milliseconds(p99)} · max {milliseconds(max)}
    </span>
  );
  return (
    <Panel title="Latency" side={side}>
      {points.length > 1 && <TimeChart data={data} label="Latency of calls over time" />}
    </Panel>
  );
}

function latencyOf(points: Point[]): ChartData {
  return {
    times: points.map((point) => point.at),
    format: milliseconds,
    series: [
      { name: "p95", tone: "retry", look: "line", values: points.map((point) => point.p95) },
      { name: "p50", tone: "flight", look: "line", values: points.map((point) => point.p50) },
    ],
  };
}
