import { useMemo } from "react";
import type { Batch, Summary } from "../../api/types.ts";
import { TimeChart } from "../../charts/TimeChart.tsx";
import type { ChartData } from "../../charts/types.ts";
import { isFinal } from "../../lib/counts.ts";
import { count, short } from "../../lib/format.ts";
import { ofSamples, ofSummary, type Point, projection } from "../../lib/history.ts";
import type { Eta } from "../../lib/pace.ts";
import { Panel } from "../../parts/Panel.tsx";
import { paces } from "../batches/paces.ts";
import classes from "./Charts.module.css";
import { LaneCharts } from "./LaneCharts.tsx";
import { LengthPanel } from "./LengthPanel.tsx";
import { LatencyPanel } from "./LatencyPanel.tsx";

interface Props {
  batch: Batch;
  summary: Summary | null | undefined;
  eta: Eta | null;
}

/** What happened over time. Without the server's history the charts begin when this page was opened. */
export function Charts({ batch, summary, eta }: Props) {
  const samples = paces.of(batch.id);
  const final = isFinal(batch);
  // Not the time of drawing: between two answers of the server nothing new is known.
  const asked = useMemo(() => Date.now() / 1_000, [summary]);
  const points = useMemo(() => (summary ? ofSummary(summary, final ? null : asked) : ofSamples(samples)), [summary, asked, samples, final]);
  const total = batch.request_counts.total;
  const progress = useMemo(() => progressOf(points, total, eta), [points, total, eta?.low, eta?.high]);
  const pace = useMemo(() => paceOf(points), [points]);
  const tokens = useMemo(() => tokensOf(points), [points]);
  if (points.length < 2 && !summary) return null;
  return (
    <>
      <div className={classes.charts}>
        {points.length > 1 && (
          <>
            <Panel title="Done and failed">
              <TimeChart data={progress} label="Lines done and failed over time" />
            </Panel>
            <Panel title="Requests a second">
              <TimeChart data={pace} label="Requests a second over time" />
            </Panel>
            <Panel title="Tokens a second">
              <TimeChart data={tokens} label="Tokens a second over time" />
            </Panel>
          </>
        )}
        {summary && <LatencyPanel summary={summary} points={points} />}
        {summary && <LaneCharts lanes={summary.lanes} />}
        {summary && <LengthPanel tokens={summary.output_tokens} />}
      </div>
      {summary === null && <p className={classes.note}>This server keeps no history: the charts begin when this page was opened.</p>}
    </>
  );
}

function progressOf(points: Point[], total: number, eta: Eta | null): ChartData {
  const { times, soonest, latest } = projection(points, total, eta);
  const failed = points.map((point) => point.failed);
  const done = points.map((point) => point.done);
  const blank = times.slice(points.length).map(() => null);
  return {
    times,
    format: short,
    exact: count,
    bands: [
      { between: [0, 1], tone: "failed" },
      { between: [2, 3], tone: "flight" },
    ],
    series: [
      {
        name: "failed",
        tone: "failed",
        look: "line",
        values: [...points.map((point) => point.done + point.failed), ...blank],
        told: failed,
      },
      { name: "done", tone: "done", look: "area", values: [...done, ...blank], told: done },
      { name: "soonest", tone: "flight", look: "dashes", values: soonest, hidden: true },
      { name: "latest", tone: "flight", look: "dashes", values: latest, hidden: true },
    ],
  };
}

function paceOf(points: Point[]): ChartData {
  const values = points.map((point) => point.lines);
  return {
    times: points.map((point) => point.at),
    format: (value) => `${short(value)}/s`,
    series: [{ name: "requests", tone: "flight", look: "line", values }],
  };
}

function tokensOf(points: Point[]): ChartData {
  return {
    times: points.map((point) => point.at),
    format: (value) => `${short(value)}/s`,
    series: [
      { name: "input", tone: "flight", look: "line", values: points.map((point) => point.input) },
      { name: "output", tone: "done", look: "line", values: points.map((point) => point.output) },
    ],
  };
}

