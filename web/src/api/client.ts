/** One call to the server: the key goes with it, and what comes back is JSON or an `ApiError`. */

import { session } from "../lib/session.ts";

export class ApiError extends Error {
  readonly status: number;
  readonly code: string | null;
  readonly param: string | null;
  readonly requestId: string | null;

  constructor(status: number, message: string, code: string | null, param: string | null, requestId: string | null) {
    super(message);
    this.name = "ApiError";
    this.status = status;
    this.code = code;
    this.param = param;
    this.requestId = requestId;
  }

  /** The server does not know this call at all: it is older than this page. */
  get unsupported(): boolean {
    return this.status === 405 || (this.status === 404 && this.message.startsWith("Invalid URL"));
  }
}

export function isUnsupported(error: unknown): boolean {
  return error instanceof ApiError && error.unsupported;
}

export type Query = Record<string, string | number | boolean | null | undefined>;

export interface Ask {
  method?: "GET" | "POST" | "DELETE";
  query?: Query;
  json?: unknown;
  headers?: Record<string, string>;
  signal?: AbortSignal | undefined;
  /** Another than the one who is signed in: used to try a key out. */
  key?: string;
  /** How long a reader waits. */
  patienceMs?: number;
}

export function pathOf(path: string, query: Query = {}): string {
  const told = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== "");
  const search = new URLSearchParams(told.map(([name, value]) => [name, String(value)]));
  return told.length > 0 ? `${path}?${search}` : path;
}

/** The reply itself, for streams and files. A key that is refused signs its user out. */
export async function ask(path: string, { method = "GET", query, json, headers, signal, key }: Ask = {}) {
  const secret = key ?? session.get().key;
  const init: RequestInit = {
    method,
    cache: "no-store",
    credentials: "omit",
    headers: {
      ...(secret ? { Authorization: `Bearer ${secret}` } : {}),
      ...(json === undefined ? {} : { "Content-Type": "application/json" }),
      ...headers,
    },
    ...(json === undefined ? {} : { body: JSON.stringify(json) }),
    ...(signal ? { signal } : {}),
  };
  const reply = await reached(pathOf(path, query), init);
  if (reply.ok) return reply;
  if (reply.status === 401 && key === undefined) session.refused(secret);
  throw await errorOf(reply);
}

/** Readers do not wait for ever: a connection may be gone though nobody said so, and the next one is another. */
const PATIENCE_MS = 30_000;

export async function json<T>(path: string, how: Ask = {}): Promise<T> {
  const { method = "GET", signal, patienceMs = PATIENCE_MS } = how;
  if (method !== "GET") return (await (await ask(path, how)).json()) as T;
  const patience = AbortSignal.timeout(patienceMs);
  try {
    return (await (await ask(path, { ...how, signal: signal ? AbortSignal.any([signal, patience]) : patience })).json()) as T;
  } catch (error) {
    if (patience.aborted && !signal?.aborted) throw unreachable();
    throw error;
  }
}

/** Reads the usual envelope; whatever stands before the server may answer in another shape. */
export async function errorOf(reply: Response): Promise<ApiError> {
  const requestId = reply.headers.get("x-request-id");
  const text = await reply.text().catch(() => "");
  try {
    const { error } = JSON.parse(text) as { error: { message: string; code: string | null; param: string | null } };
    return new ApiError(reply.status, error.message, error.code ?? null, error.param ?? null, requestId);
  } catch {
    return new ApiError(reply.status, `The server answered ${reply.status} ${reply.statusText}.`, null, null, requestId);
  }
}

async function reached(url: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(url, init);
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw unreachable();
  }
}

export function unreachable(): ApiError {
  return new ApiError(0, "The server cannot be reached. It is asked again by itself.", "unreachable", null, null);
}
