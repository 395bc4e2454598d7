/** How fast a batch goes and how long it still takes, from what was seen of it. */

import type { Batch } from "../api/types.ts";

/** What a batch had reached at a time (seconds). */
export interface Sample {
  at: number;
  done: number;
  failed: number;
  inputTokens: number;
  outputTokens: number;
}

export interface Eta {
  low: number;
  high: number;
}

const KEPT = 400;
/** Shorter stretches say more of the moment of the poll than of the pace. */
const SPAN_MIN_S = 2;
const SHORT_S = 20;
const LONG_S = 300;

export function sampleOf(batch: Batch, at: number): Sample {
  const { completed: done, failed } = batch.request_counts;
  return {
    at,
    done,
    failed,
    inputTokens: batch.usage?.input_tokens ?? 0,
    outputTokens: batch.usage?.output_tokens ?? 0,
  };
}

export function ended(sample: Sample): number {
  return sample.done + sample.failed;
}

/** With `next` at the end. When the memory is full every second one of the older half goes, so that it spans all. */
export function withSample(samples: readonly Sample[], next: Sample): Sample[] {
  const last = samples.at(-1);
  if (last !== undefined && (next.at <= last.at || ended(next) < ended(last))) return [...samples];
  const all = [...samples, next];
  if (all.length <= KEPT) return all;
  return all.filter((_, index) => index >= KEPT / 2 || index % 2 === 0);
}

/** Per second over the last `spanS`; null until enough was seen. */
export function rateOver(samples: readonly Sample[], spanS: number, of: (sample: Sample) => number): number | null {
  const last = samples.at(-1);
  if (last === undefined) return null;
  const first = samples.find((sample) => sample.at >= last.at - spanS) ?? last;
  const span = last.at - first.at;
  return span < SPAN_MIN_S ? null : (of(last) - of(first)) / span;
}

export function linesPerSecond(samples: readonly Sample[]): number | null {
  return rateOver(samples, SHORT_S, ended);
}

/** From the pace of the last seconds, of the last minutes, and of the whole batch (which ran since `startedAt`). */
export function etaOf(samples: readonly Sample[], remaining: number, startedAt: number | null): Eta | null {
  const last = samples.at(-1);
  if (last === undefined || remaining <= 0) return null;
  const whole = startedAt !== null && last.at - startedAt >= SPAN_MIN_S ? ended(last) / (last.at - startedAt) : null;
  const rates = [rateOver(samples, SHORT_S, ended), rateOver(samples, LONG_S, ended), whole].filter(
    (rate): rate is number => rate !== null && rate > 0,
  );
  if (rates.length === 0) return null;
  return { low: remaining / Math.max(...rates), high: remaining / Math.min(...rates) };
}

/** The samples of the batches that were looked at, the latest `most` of them. */
export class Paces {
  readonly #of = new Map<string, Sample[]>();
  readonly #most: number;

  constructor(most: number) {
    this.#most = most;
  }

  of(id: string): readonly Sample[] {
    return this.#of.get(id) ?? [];
  }

  saw(batch: Batch, at: number) {
    const samples = withSample(this.of(batch.id), sampleOf(batch, at));
    this.#of.delete(batch.id);
    this.#of.set(batch.id, samples);
    for (const id of this.#of.keys()) {
      if (this.#of.size <= this.#most) break;
      this.#of.delete(id);
    }
  }
}
