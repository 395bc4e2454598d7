/** What a batch is called, and why it is as it is, in words. */

import type { Batch, Lane } from "../api/types.ts";
import { duration } from "./format.ts";

/** People find a batch by the name that they gave it. */
export function nameOf(batch: Batch): string {
  const told = batch.metadata ?? {};
  return told.name?.trim() || told.title?.trim() || told.description?.trim() || batch.id;
}

/** The model of the batch, or of its lanes. */
export function modelsOf(batch: Batch): string {
  const models = new Set((batch.batchrouter?.lanes ?? []).map((lane) => lane.model));
  if (models.size === 0) return batch.model ?? "";
  const [first = "", second] = [...models];
  return second === undefined ? first : models.size === 2 ? `${first}, ${second}` : `${first} and ${models.size - 1} more`;
}

/** When it ended; null while it runs. */
export function endOf(batch: Batch): number | null {
  switch (batch.status) {
    case "completed":
      return batch.completed_at;
    case "failed":
      return batch.failed_at;
    case "expired":
      return batch.expired_at;
    case "cancelled":
      return batch.cancelled_at;
    default:
      return null;
  }
}

const MODES: Record<string, string> = { realtime: "real-time calls", batch: "the provider's own batches", flex: "flex calls" };

export function modeWords(mode: string): string {
  return MODES[mode] ?? mode;
}

/** Why a lane sends nothing at the moment; null when it goes. */
export function laneWait(lane: Lane, now: number): string | null {
  if (lane.state === "open" && lane.reason === null) return null;
  const until = lane.until !== null && lane.until > now ? `, until ${clock(lane.until)} (${duration(lane.until - now)})` : "";
  const reason = lane.reason ?? { waiting: "the provider asked to wait", paused: "paused", unreachable: "it does not answer" }[lane.state] ?? lane.state;
  return `${reason}${until}`;
}

/** The time of a day, with the day when it is another one. */
export function clock(at: number, now = Date.now() / 1_000): string {
  const date = new Date(at * 1_000);
  const time = date.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  if (date.toDateString() === new Date(now * 1_000).toDateString()) return time;
  return `${date.toLocaleDateString("en-GB", { day: "numeric", month: "short" })}, ${time.slice(0, 5)}`;
}
