import type { Batch, Summary } from "../../api/types.ts";
import { useNow } from "../../app/useNow.ts";
import { countsOf, isFinal } from "../../lib/counts.ts";
import { count, duration, money, range, rate, short } from "../../lib/format.ts";
import { type Eta, etaOf, linesPerSecond, rateOver } from "../../lib/pace.ts";
import { clock, endOf } from "../../lib/words.ts";
import { CountsBar } from "../../parts/CountsBar.tsx";
import { type Fact, Facts } from "../../parts/Facts.tsx";
import { isPaused } from "../../parts/StateBadge.tsx";
import { paces } from "../batches/paces.ts";
import classes from "./Progress.module.css";

const TOKENS_SPAN_S = 20;

/** The server's reckoning where it has one, else this page's own. */
export function etaFor(batch: Batch, summary: Summary | null | undefined): Eta | null {
  if (batch.status !== "in_progress" || isPaused(batch) || isHeld(batch)) return null;
  if (summary?.eta) return { low: summary.eta.low_s, high: summary.eta.high_s };
  const { total, completed, failed } = batch.request_counts;
  return etaOf(paces.of(batch.id), total - completed - failed, batch.in_progress_at);
}

/** All that is left waits in lanes that are paused: until when it does says more than any pace. */
function isHeld({ batchrouter }: Batch): boolean {
  const left = (batchrouter?.lanes ?? []).filter((lane) => lane.waiting + lane.retrying + lane.in_flight + lane.in_job > 0);
  return left.length > 0 && left.every((lane) => lane.state === "paused" && lane.in_flight + lane.in_job === 0);
}

export function Progress({ batch, summary }: { batch: Batch; summary: Summary | null | undefined }) {
  const now = useNow();
  return (
    <section className={`panel ${classes.progress}`} aria-label="Progress">
      <CountsBar counts={countsOf(batch)} detail="all" />
      <Facts large facts={isFinal(batch) ? endedFacts(batch) : runningFacts(batch, summary, now)} />
    </section>
  );
}

function runningFacts(batch: Batch, summary: Summary | null | undefined, now: number): Fact[] {
  const samples = paces.of(batch.id);
  const eta = etaFor(batch, summary);
  const output = summary?.rate?.output_tokens_per_s ?? rateOver(samples, TOKENS_SPAN_S, (sample) => sample.outputTokens);
  return [
    { name: "Pace", value: rate(summary?.rate?.lines_per_s ?? linesPerSecond(samples), "lines") },
    { name: "Output", value: rate(output, "tokens") },
    {
      name: "Time left",
      value: eta === null ? "–" : range(eta.low, eta.high),
      more: eta === null ? waiting(batch) : `by ${clock(now + eta.high, now).replace(/^(\d\d:\d\d):\d\d$/, "$1")} at the latest`,
    },
    cost(batch),
    { name: "Running for", value: duration(now - batch.created_at), more: `since ${clock(batch.created_at, now)}` },
    {
      name: "Deadline",
      value: batch.expires_at > now ? `in ${duration(batch.expires_at - now)}` : "over",
      more: clock(batch.expires_at, now),
    },
  ];
}

function endedFacts(batch: Batch): Fact[] {
  const end = endOf(batch);
  const lines = batch.request_counts.completed + batch.request_counts.failed;
  const took = end === null ? null : end - (batch.in_progress_at ?? batch.created_at);
  return [
    { name: "Took", value: took === null ? "–" : duration(took), more: end === null ? null : `ended ${clock(end)}` },
    { name: "Mean pace", value: rate(took ? lines / took : null, "lines") },
    { name: "Input", value: `${short(batch.usage?.input_tokens)} tokens`, more: cached(batch) },
    { name: "Output", value: `${short(batch.usage?.output_tokens)} tokens`, more: reasoning(batch) },
    cost(batch),
  ];
}

function cost(batch: Batch): Fact {
  const { completed, failed } = batch.request_counts;
  const dollars = batch.usage?.cost ?? null;
  const each = dollars !== null && completed + failed > 0 ? dollars / (completed + failed) : null;
  const more = dollars === null && completed > 0 ? "a price is not known" : each && `${money(each)} a line`;
  return { name: "Cost", value: money(dollars), more: more || null };
}

function cached(batch: Batch): string | null {
  const tokens = batch.usage?.input_tokens_details?.cached_tokens ?? 0;
  return tokens > 0 ? `${short(tokens)} from a cache` : null;
}

function reasoning(batch: Batch): string | null {
  const tokens = batch.usage?.output_tokens_details?.reasoning_tokens ?? 0;
  return tokens > 0 ? `${count(tokens)} of them reasoning` : null;
}

function waiting(batch: Batch): string {
  if (isPaused(batch)) return "paused";
  if (batch.status === "validating") return "the file is being checked";
  if (batch.status === "finalizing") return "the files are being made";
  return batch.status === "cancelling" ? "being closed" : "not known yet";
}
