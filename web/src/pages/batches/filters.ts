/** What the list is narrowed to: kept in the address, and told to the server. */

import type { Query } from "../../api/client.ts";

export const FILTERS = ["status", "search", "model", "meta", "since", "from", "to"] as const;

export const SPANS: Record<string, { words: string; seconds: number }> = {
  "1h": { words: "Last hour", seconds: 3_600 },
  "24h": { words: "Last 24 hours", seconds: 86_400 },
  "7d": { words: "Last 7 days", seconds: 604_800 },
  "30d": { words: "Last 30 days", seconds: 2_592_000 },
};

const MINUTE_S = 60;

export function isNarrowed(query: URLSearchParams): boolean {
  return FILTERS.some((name) => query.has(name));
}

/** `now` only sets where a span begins, so it is rounded: the same question stays the same for a minute. */
export function serverFilters(query: URLSearchParams, now: number): Query {
  const told: Query = {};
  for (const name of ["status", "search", "model"]) told[name] = query.get(name);
  const [key = "", ...value] = (query.get("meta") ?? "").split("=");
  if (key.trim() && value.length > 0) told[`metadata[${key.trim()}]`] = value.join("=").trim();
  const span = SPANS[query.get("since") ?? ""];
  if (span) told.created_after = Math.floor(now / MINUTE_S) * MINUTE_S - span.seconds;
  const [from, to] = [query.get("from"), query.get("to")];
  if (from) told.created_after = dayStart(from);
  if (to) told.created_before = withDay(to);
  return Object.fromEntries(Object.entries(told).filter(([, each]) => each !== null && each !== undefined));
}

function dayStart(day: string): number | null {
  const at = new Date(`${day}T00:00:00`).getTime() / 1_000;
  return Number.isFinite(at) ? at : null;
}

function withDay(day: string): number | null {
  const start = dayStart(day);
  return start === null ? null : start + 86_400;
}
