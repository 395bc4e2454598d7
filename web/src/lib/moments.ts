/** The life of a batch as moments in time. */

import type { Batch, BatchEvent } from "../api/types.ts";

export interface Moment {
  at: number;
  words: string;
  tone: "done" | "failed" | "flight" | "retry" | "wait";
}

const WORDS: Record<string, [string, Moment["tone"]]> = {
  created: ["Created", "wait"],
  validating: ["Checking the file", "wait"],
  in_progress: ["Sending lines", "flight"],
  finalizing: ["Making the files", "flight"],
  completed: ["Completed", "done"],
  failed: ["Refused: its lines are wrong", "failed"],
  expired: ["Expired", "failed"],
  cancelling: ["Cancelling", "retry"],
  cancelled: ["Cancelled", "wait"],
  paused: ["Paused", "retry"],
  resumed: ["Resumed", "flight"],
};

function moment(state: string, at: number): Moment {
  const [words, tone] = WORDS[state] ?? [state.replaceAll("_", " "), "wait"];
  return { at, words, tone };
}

/** From the times in the batch itself. */
export function momentsOf(batch: Batch): Moment[] {
  const times: [string, number | null | undefined][] = [
    ["created", batch.created_at],
    ["in_progress", batch.in_progress_at],
    ["paused", batch.batchrouter?.paused_at],
    ["cancelling", batch.cancelling_at],
    ["finalizing", batch.finalizing_at],
    ["completed", batch.completed_at],
    ["failed", batch.failed_at],
    ["expired", batch.expired_at],
    ["cancelled", batch.cancelled_at],
  ];
  return times
    .filter((pair): pair is [string, number] => pair[1] != null)
    .map(([state, at]) => moment(state, at))
    .sort((one, other) => one.at - other.at);
}

/** From the server's events, which know every pause; the creation is in none. */
export function withEvents(batch: Batch, events: readonly BatchEvent[]): Moment[] {
  if (events.length === 0) return momentsOf(batch);
  const told = events
    .map(({ type, created_at }) => ({ state: type.replace(/^batch\./, ""), at: created_at }))
    .filter(({ state }) => state !== "created" && state !== "validating");
  return [moment("created", batch.created_at), ...told.map(({ state, at }) => moment(state, at))];
}
