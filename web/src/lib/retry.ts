/** What a retry asks for, from what was filled in. */

import type { RetryBody, RetryWhere } from "../api/types.ts";

export interface RetryForm {
  /** "failed": what did not succeed; "truncated": answers that were cut; "matching": what a filter finds. */
  which: "failed" | "truncated" | "matching";
  filter: RetryWhere;
  maxTokens: string;
  /** JSON of an object, merged into the body of each line; null removes. */
  overrides: string;
  maxCost: string;
}

/** Throws an Error whose message says what to mend. */
export function retryBody(form: RetryForm): RetryBody {
  const set = { ...(form.maxTokens.trim() && { max_tokens: whole(form.maxTokens) }), ...objectOf(form.overrides) };
  const where = { failed: undefined, truncated: { finish_reason: ["length"] }, matching: form.filter }[form.which];
  return {
    ...(where && { where }),
    ...(Object.keys(set).length > 0 && { set }),
    ...(form.maxCost.trim() && { max_cost: dollars(form.maxCost) }),
  };
}

/** From the filters in the address of the page of lines. Nothing where a retry cannot mean the same lines: it knows whole
 * ids alone. */
export function whereOf(query: URLSearchParams): RetryWhere {
  if (query.get("custom_id")) return {};
  const list = (name: string) => (query.get(name) ?? "").split(",").filter(Boolean);
  const where: RetryWhere = {};
  for (const name of ["outcome", "finish_reason", "code"] as const) if (list(name).length > 0) where[name] = list(name);
  const text = query.get("text");
  return text ? { ...where, text } : where;
}

function whole(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new Error("max_tokens is a whole number, 1 or more.");
  return value;
}

function dollars(text: string): number {
  const value = Number(text.replace(/^\$/, ""));
  if (!Number.isFinite(value) || value <= 0) throw new Error("The budget is a sum of dollars, such as 12.50.");
  return value;
}

function objectOf(text: string): Record<string, unknown> {
  if (!text.trim()) return {};
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new Error(`The overrides are no JSON: ${error instanceof Error ? error.message : error}`);
  }
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    throw new Error('The overrides are a JSON object, such as {"temperature": 0}.');
  }
  return value as Record<string, unknown>;
}
