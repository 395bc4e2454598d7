/** What a person chose for a new batch, as the server wants it. */

import type { NewBatch } from "../api/api.ts";

export const ENDPOINTS = [
  "/v1/chat/completions",
  "/v1/responses",
  "/v1/embeddings",
  "/v1/completions",
  "/v1/moderations",
  "/v1/images/generations",
  "/v1/images/edits",
] as const;

export interface BatchForm {
  name: string;
  endpoint: string;
  mode: string;
  priority: string;
  maxCost: string;
  window: string;
  dedupe: boolean;
}

export const EMPTY: BatchForm = {
  name: "",
  endpoint: ENDPOINTS[0],
  mode: "",
  priority: "normal",
  maxCost: "",
  window: "24h",
  dedupe: false,
};

/** Throws an `Error` in words for what the server would not understand. */
export function newBatch(form: BatchForm, inputFileId: string): NewBatch {
  const metadata: Record<string, string> = {};
  if (form.name.trim()) metadata.name = form.name.trim();
  if (form.mode) metadata.mode = form.mode;
  if (form.priority !== "normal") metadata.priority = form.priority;
  if (form.maxCost.trim()) {
    const dollars = Number(form.maxCost.replace("$", "").trim());
    if (!Number.isFinite(dollars) || dollars < 0) throw new Error("The budget is a sum of dollars, such as 12.50.");
    metadata.max_cost = String(dollars);
  }
  return {
    input_file_id: inputFileId,
    endpoint: form.endpoint,
    completion_window: form.window.trim() || "24h",
    ...(Object.keys(metadata).length > 0 ? { metadata } : {}),
    ...(form.dedupe ? { dedupe: true } : {}),
  };
}
