/** What the charts show: the server's history of a batch, or what this page has seen of it. */

import type { HistoryPoint, Summary } from "../api/types.ts";
import type { Eta, Sample } from "./pace.ts";

export interface Point {
  at: number;
  /** Sums up to here. */
  done: number;
  failed: number;
  /** Per second, in the interval that ends here; null where it is not over. */
  lines: number | null;
  input: number | null;
  output: number | null;
  p50: number | null;
  p95: number | null;
}

/** Settled lines are told of so much later, and the server's clock may not be ours. */
const LATE_S = 2;
const NOTHING = { done: 0, failed: 0, input_tokens: 0, output_tokens: 0, latency_p50: null, latency_p95: null };

/** The server tells where an interval begins. `now`: when a running batch was asked about; null: it ended. The last
 * interval has no pace until it is surely over, and where nothing ended since there was none. */
export function ofSummary(summary: Summary, now: number | null): Point[] {
  const { interval_s: interval, points } = summary.history;
  let [done, failed] = [0, 0];
  const filled = withGaps(points, interval);
  const end = filled.at(-1);
  if (end && now !== null && now > end.at + 2 * interval + LATE_S) {
    filled.push({ ...NOTHING, at: end.at + interval }, { ...NOTHING, at: Math.max(now - interval - LATE_S, end.at + 2 * interval) });
  }
  return filled.map((point, index) => {
    done += point.done - point.failed;
    failed += point.failed;
    const last = index === filled.length - 1;
    const open = last && now !== null && now < point.at + interval + LATE_S;
    const each = (value: number) => (open ? null : value / interval);
    return {
      at: open ? Math.min(Math.max(now, point.at + interval / 100), point.at + interval) : point.at + interval,
      done,
      failed,
      lines: each(point.done),
      input: each(point.input_tokens),
      output: each(point.output_tokens),
      p50: point.latency_p50,
      p95: point.latency_p95,
    };
  });
}

/** Intervals in which nothing ended are not told: there the pace was nothing, at their beginning and at their end. */
function withGaps(points: readonly HistoryPoint[], interval: number): HistoryPoint[] {
  const filled: HistoryPoint[] = [];
  for (const point of points) {
    const before = filled.at(-1);
    if (before && point.at - before.at > interval * 1.5) filled.push({ ...NOTHING, at: before.at + interval });
    if (before && point.at - before.at > interval * 2.5) filled.push({ ...NOTHING, at: point.at - interval });
    filled.push(point);
  }
  return filled;
}

/** The pace is that between neighbours. */
export function ofSamples(samples: readonly Sample[]): Point[] {
  return samples.slice(1).map((sample, index) => {
    const before = samples[index]!;
    const span = sample.at - before.at;
    return {
      at: sample.at,
      done: sample.done,
      failed: sample.failed,
      lines: (sample.done + sample.failed - before.done - before.failed) / span,
      input: (sample.inputTokens - before.inputTokens) / span,
      output: (sample.outputTokens - before.outputTokens) / span,
      p50: null,
      p95: null,
    };
  });
}

/** Where the batch goes on from its last point, at the fastest and at the slowest: for the chart of ended lines. */
export interface Projection {
  times: number[];
  soonest: (number | null)[];
  latest: (number | null)[];
}

export function projection(points: readonly Point[], total: number, eta: Eta | null): Projection {
  const times = points.map((point) => point.at);
  const last = points.at(-1);
  const empty = times.map(() => null);
  // Where most of the picture would be guess, it says nothing.
  if (last === undefined || eta === null || eta.high > 4 * (last.at - points[0]!.at)) {
    return { times, soonest: empty, latest: empty };
  }
  const ended = last.done + last.failed;
  const begin = [...empty.slice(1), ended];
  const ends = [last.at + eta.low, last.at + Math.max(eta.high, eta.low + 0.001)];
  return { times: [...times, ...ends], soonest: [...begin, total, total], latest: [...begin, null, total] };
}
