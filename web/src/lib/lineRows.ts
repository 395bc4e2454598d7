/** Lines as a table shows them: without their texts, of which only the beginning is kept. */

import type { Line, LinePage } from "../api/types.ts";
import { answerOf, failureOf } from "./answer.ts";

const PREVIEW_CHARS = 240;

export interface LineRow extends Omit<Line, "object" | "result" | "request"> {
  preview: string;
}

export interface LineRows {
  rows: LineRow[];
  /** Where to go on; null at the beginning. */
  next: string | null;
  more: boolean;
}

export const NO_LINES: LineRows = { rows: [], next: null, more: true };

export function rowOf({ object: _, result, request: __, ...line }: Line): LineRow {
  const failed = line.outcome !== "succeeded";
  const text = (failed ? failureOf(result) : answerOf(result)) ?? "";
  return { ...line, preview: text.slice(0, PREVIEW_CHARS).replace(/\s+/g, " ").trim() };
}

/** With the page that was asked for after `after`, unless another came in between. */
export function withPage(old: LineRows, after: string | null, page: LinePage): LineRows {
  if (old.next !== after) return old;
  return { rows: [...old.rows, ...page.data.map(rowOf)], next: page.next, more: page.has_more };
}
