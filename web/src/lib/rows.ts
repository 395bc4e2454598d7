/** A list that is read page by page from its end, while its beginning is asked for again and again. */

import type { Batch, Page } from "../api/types.ts";
import { newer } from "./counts.ts";

export interface Rows {
  rows: Batch[];
  /** There are older ones than the last. */
  more: boolean;
}

/** With the newest page in the place of what it covers; what is older than its last stays as it was read. */
export function withHead(old: Rows | undefined, head: Page<Batch>): Rows {
  const known = new Map((old?.rows ?? []).map((row) => [row.id, row]));
  const fresh = head.data.map((batch) => newer(known.get(batch.id), batch));
  const more = head.has_more ?? false;
  const last = fresh.at(-1);
  if (old === undefined || !more || last === undefined) return { rows: fresh, more };
  const covered = old.rows.findIndex((row) => row.id === last.id);
  // More came than one page holds: what lies between is not known, so the rest is read anew.
  if (covered < 0) return { rows: fresh, more };
  return { rows: [...fresh, ...old.rows.slice(covered + 1)], more: covered + 1 < old.rows.length ? old.more : more };
}

/** With an older page at the end, if it still belongs there. */
export function withTail(old: Rows | undefined, after: string, tail: Page<Batch>): Rows | undefined {
  if (old === undefined || old.rows.at(-1)?.id !== after) return old;
  return { rows: [...old.rows, ...tail.data], more: tail.has_more ?? false };
}

export function withLooks(old: Rows | undefined, looks: readonly Batch[]): Rows | undefined {
  if (old === undefined) return old;
  const seen = new Map(looks.map((batch) => [batch.id, batch]));
  return { ...old, rows: old.rows.map((row) => newer(row, seen.get(row.id) ?? row)) };
}
