/** Every call that the dashboard makes, bound to the tenant that it acts for. */

import { ApiError, ask, isUnsupported, json, type Query } from "./client.ts";
import { upload } from "./upload.ts";
import type {
  Batch,
  BatchEvent,
  Estimate,
  FileCheck,
  FileObject,
  Key,
  Line,
  LinePage,
  Me,
  Model,
  Page,
  Provider,
  RetryBody,
  Role,
  Summary,
  Tenant,
} from "./types.ts";

export interface NewBatch {
  input_file_id: string;
  endpoint: string;
  completion_window?: string;
  metadata?: Record<string, string>;
  dedupe?: boolean;
  resume_from?: string;
  max_cost?: number;
  priority?: string;
  mode?: string;
}

export interface LineFilters {
  outcome?: string;
  finish_reason?: string;
  code?: string;
  custom_id?: string;
  text?: string;
}

/** A file of many gigabytes is read to its end. */
const CHECK_MS = 600_000;

export class Api {
  /** Null: the key's own. "*" (admins, lists of batches only): all. */
  readonly tenant: string | null;

  constructor(tenant: string | null) {
    this.tenant = tenant;
  }

  private of(query: Query = {}): Query {
    return { ...query, tenant: this.tenant };
  }

  batches(query: Query, signal?: AbortSignal) {
    return json<Page<Batch>>("/v1/batches", { query: this.of(query), signal });
  }

  batch(id: string, signal?: AbortSignal) {
    return json<Batch>(`/v1/batches/${id}`, { query: this.of(), signal });
  }

  createBatch(batch: NewBatch, idempotencyKey: string) {
    const headers = { "Idempotency-Key": idempotencyKey };
    return json<Batch>("/v1/batches", { method: "POST", query: this.of(), json: batch, headers });
  }

  steer(id: string, verb: "cancel" | "pause" | "resume") {
    return json<Batch>(`/v1/batches/${id}/${verb}`, { method: "POST", query: this.of() });
  }

  retry(id: string, body: RetryBody, idempotencyKey: string) {
    const headers = { "Idempotency-Key": idempotencyKey };
    return json<Batch>(`/v1/batches/${id}/retry`, { method: "POST", query: this.of(), json: body, headers });
  }

  events(id: string, signal?: AbortSignal) {
    return json<Page<BatchEvent>>(`/v1/batches/${id}/events`, { query: this.of({ limit: 100 }), signal });
  }

  summary(id: string, signal?: AbortSignal) {
    return json<Summary>(`/v1/batches/${id}/summary`, { query: this.of(), signal });
  }

  /** Ends with the batch; the caller reads its frames. */
  watch(id: string, signal: AbortSignal) {
    return ask(`/v1/batches/${id}/events`, { query: this.of(), signal, headers: { Accept: "text/event-stream" } });
  }

  lines(id: string, query: LineFilters & { order?: string; limit?: number; after?: string }, signal?: AbortSignal) {
    return json<LinePage>(`/v1/batches/${id}/results`, { query: this.of({ ...query }), signal });
  }

  line(id: string, line: number, signal?: AbortSignal) {
    return json<Line>(`/v1/batches/${id}/results/${line}`, { query: this.of(), signal });
  }

  files(query: Query, signal?: AbortSignal) {
    return json<Page<FileObject>>("/v1/files", { query: this.of(query), signal });
  }

  file(id: string, signal?: AbortSignal) {
    return json<FileObject>(`/v1/files/${id}`, { query: this.of(), signal });
  }

  /** `onProgress` hears the share that was sent, 0 to 1. */
  upload(file: File, onProgress: (share: number) => void, signal: AbortSignal) {
    return upload<FileObject>("/v1/files", { query: this.of(), file, onProgress, signal });
  }

  deleteFile(id: string) {
    return json<{ id: string; deleted: boolean }>(`/v1/files/${id}`, { method: "DELETE", query: this.of() });
  }

  fileContent(id: string, signal?: AbortSignal) {
    return ask(`/v1/files/${id}/content`, { query: this.of(), signal });
  }

  estimate(id: string, signal?: AbortSignal) {
    return json<Estimate>(`/v1/files/${id}/estimate`, { query: this.of(), signal, patienceMs: CHECK_MS });
  }

  check(id: string, endpoint: string, signal?: AbortSignal) {
    return json<FileCheck>(`/v1/files/${id}/check`, { query: this.of({ endpoint }), signal, patienceMs: CHECK_MS });
  }

  models(signal?: AbortSignal) {
    return json<Page<Model>>("/v1/models", { query: this.of(), signal });
  }
}

/** Who a key is. Servers without `/v1/me` are asked for something that any key may see, and something that only admins. */
export async function whoIs(key?: string, signal?: AbortSignal): Promise<Me> {
  const how = { signal, ...(key === undefined ? {} : { key }) };
  try {
    return await json<Me>("/v1/me", how);
  } catch (error) {
    if (!isUnsupported(error)) throw error;
  }
  await ask("/v1/batches", { ...how, query: { limit: 1 } });
  const role = await json("/admin/v1/tenants", how).then(
    (): Role => "admin",
    (error: unknown): Role => {
      if (error instanceof ApiError && error.status === 403) return "user";
      throw error;
    },
  );
  return { object: "key", id: null, role, tenant: null, label: "", version: null };
}

/** For keys of role admin alone; whole servers, no tenant. */
export const admin = {
  providers: (signal?: AbortSignal) => json<Page<Provider>>("/admin/v1/providers", { signal }),
  tenants: (signal?: AbortSignal) => json<Page<Tenant>>("/admin/v1/tenants", { signal }),
  keys: (query: Query, signal?: AbortSignal) => json<Page<Key>>("/admin/v1/keys", { query, signal }),
  createKey: (key: { tenant?: string; role?: Role; label?: string }) =>
    json<Key>("/admin/v1/keys", { method: "POST", json: key }),
  revokeKey: (id: string) => json<Key>(`/admin/v1/keys/${id}`, { method: "DELETE" }),
};
