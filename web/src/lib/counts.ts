/** A batch's lines by where they are, as separate numbers that together are the whole. */

import type { Batch } from "../api/types.ts";

export interface Counts {
  total: number;
  done: number;
  failed: number;
  inFlight: number;
  retrying: number;
  waiting: number;
  /** Lines that ended without an answer or a failure: cancelled, expired. */
  unfinished: number;
}

const FINAL = new Set(["completed", "failed", "expired", "cancelled"]);

export function isFinal(batch: Pick<Batch, "status">): boolean {
  return FINAL.has(batch.status);
}

/** What the batch says of itself. Without lanes (lists) what is neither done nor failed waits. */
export function countsOf(batch: Batch): Counts {
  const { total, completed: done, failed } = batch.request_counts;
  const lanes = isFinal(batch) ? [] : (batch.batchrouter?.lanes ?? []);
  const sum = (of: (lane: (typeof lanes)[number]) => number) => lanes.reduce((all, lane) => all + of(lane), 0);
  let room = Math.max(0, total - done - failed);
  const take = (wanted: number) => {
    const taken = Math.min(room, wanted);
    room -= taken;
    return taken;
  };
  const inFlight = take(sum((lane) => lane.in_flight + lane.in_job));
  const retrying = take(sum((lane) => lane.retrying));
  const rest = room;
  return isFinal(batch)
    ? { total, done, failed, inFlight: 0, retrying: 0, waiting: 0, unfinished: rest }
    : { total, done, failed, inFlight, retrying, waiting: rest, unfinished: 0 };
}

/** `next`, unless it is older than what was seen: replies may overtake each other, and no count of ended lines falls.
 * Lists tell no lanes: those of a look at the batch itself stay until the next look. */
export function newer(seen: Batch | undefined, next: Batch): Batch {
  if (seen === undefined || seen.id !== next.id) return next;
  if (isFinal(seen) && !isFinal(next)) return seen;
  const [was, is] = [seen.request_counts, next.request_counts];
  const request_counts = {
    total: Math.max(was.total, is.total),
    completed: Math.max(was.completed, is.completed),
    failed: Math.max(was.failed, is.failed),
  };
  const { lanes = seen.batchrouter?.lanes, jobs = seen.batchrouter?.jobs } = next.batchrouter ?? {};
  const batchrouter = { ...next.batchrouter, ...(lanes && { lanes }), ...(jobs && { jobs }) };
  return { ...next, request_counts, batchrouter };
}
