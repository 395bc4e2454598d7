/** What the table of lines is narrowed to: kept in the address, and told to the server. */

import type { LineFilters } from "../../api/api.ts";

export const FILTERS = ["text", "custom_id", "outcome", "finish_reason", "code"] as const;

export const OUTCOMES = ["succeeded", "failed", "invalid_output", "expired", "cancelled", "unfinished"];
export const REASONS = ["stop", "length", "tool_calls", "content_filter", "other", "none"];

export function isNarrowed(query: URLSearchParams): boolean {
  return FILTERS.some((name) => query.has(name));
}

export interface LineQuery extends LineFilters {
  order: "completion" | "input";
}

/** Lines that have not ended have no place in the order of completion. */
export function lineQuery(query: URLSearchParams, running: boolean): LineQuery {
  const filters: LineFilters = {};
  for (const name of FILTERS) {
    const value = query.get(name);
    if (value) filters[name] = value;
  }
  const unfinished = filters.outcome?.split(",").includes("unfinished");
  const order = unfinished ? "input" : (query.get("order") ?? (running ? "completion" : "input"));
  return { ...filters, order: order === "completion" ? "completion" : "input" };
}
