/** The objects of the wire, as /openapi.json describes them. Optional members are those that older servers lack. */

export type BatchStatus =
  | "validating"
  | "failed"
  | "in_progress"
  | "finalizing"
  | "completed"
  | "expired"
  | "cancelling"
  | "cancelled";

export interface Lane {
  provider: string;
  model: string;
  mode: string;
  state: string;
  waiting: number;
  in_job: number;
  in_flight: number;
  retrying: number;
  done: number;
  limit: number | null;
  reason: string | null;
  until: number | null;
  cost: number | null;
}

export interface Job {
  id: string;
  provider: string;
  model: string;
  provider_job_id: string | null;
  status: string;
  lines: number;
  completed: number;
  failed: number;
  created_at: number;
  submitted_at: number | null;
  ended_at: number | null;
  reason: string | null;
}

export interface Usage {
  input_tokens: number;
  input_tokens_details: { cached_tokens: number };
  output_tokens: number;
  output_tokens_details: { reasoning_tokens: number };
  total_tokens: number;
  cost: number | null;
}

export interface BatchError {
  code: string;
  message: string;
  param: string | null;
  line: number | null;
}

/** What OpenAI's object has no place for. */
export interface Extension {
  closing: string | null;
  max_cost: number | null;
  priority: "high" | "normal" | "low";
  lanes?: Lane[];
  jobs?: Job[];
  tenant?: string;
  paused_at?: number | null;
  retry_of?: string | null;
  resume_from?: string | null;
  dedupe?: boolean;
  invalid_output?: number;
  reused?: number;
}

export interface Batch {
  id: string;
  object: "batch";
  endpoint: string;
  model: string | null;
  errors: { data: BatchError[] } | null;
  input_file_id: string;
  completion_window: string;
  status: BatchStatus;
  output_file_id: string | null;
  error_file_id: string | null;
  created_at: number;
  in_progress_at: number | null;
  expires_at: number;
  finalizing_at: number | null;
  completed_at: number | null;
  failed_at: number | null;
  expired_at: number | null;
  cancelling_at: number | null;
  cancelled_at: number | null;
  request_counts: { total: number; completed: number; failed: number };
  usage: Usage;
  metadata: Record<string, string> | null;
  batchrouter: Extension;
}

export interface Page<T> {
  object: "list";
  data: T[];
  first_id?: string | null;
  last_id?: string | null;
  has_more?: boolean;
}

export interface BatchEvent {
  id: string;
  no: number;
  created_at: number;
  type: string;
}

export type Outcome = "succeeded" | "failed" | "expired" | "cancelled" | "unfinished";

export interface LineUsage {
  input_tokens: number;
  cached_tokens: number;
  output_tokens: number;
  reasoning_tokens: number;
}

export interface Line {
  object: "batch.line";
  line: number;
  custom_id: string;
  outcome: Outcome;
  invalid_output: boolean;
  reused: boolean;
  finish_reason: string | null;
  status_code: number | null;
  error_code: string | null;
  attempts: number;
  latency_ms: number | null;
  usage: LineUsage | null;
  provider: string | null;
  model: string | null;
  mode: string | null;
  result: unknown;
  request?: unknown;
}

export interface LinePage {
  object: "list";
  data: Line[];
  has_more: boolean;
  next: string;
  status: BatchStatus;
}

export interface LineSample {
  line: number;
  custom_id: string;
}

export interface Bin {
  le: number | null;
  count: number;
}

export interface HistoryPoint {
  /** The beginning of the interval. */
  at: number;
  /** All that were tried to their end, the failed ones among them. */
  done: number;
  failed: number;
  input_tokens: number;
  output_tokens: number;
  latency_p50: number | null;
  latency_p95: number | null;
}

export interface LaneSample {
  at: number;
  in_flight: number;
  limit: number | null;
  throttled: number;
  cost: number | null;
}

export interface Summary {
  object: "batch.summary";
  batch_id: string;
  lines: number;
  rate: { lines_per_s: number; input_tokens_per_s: number; output_tokens_per_s: number } | null;
  eta: { low_s: number; high_s: number } | null;
  finish_reasons: { reason: string; count: number; sample: LineSample | null }[];
  errors: {
    status_code: number | null;
    code: string | null;
    message: string | null;
    outcome?: Outcome;
    count: number;
    sample: LineSample | null;
  }[];
  latency_ms: { p50: number | null; p95: number | null; p99: number | null; max: number | null; histogram: Bin[] };
  output_tokens: { p50: number | null; p95: number | null; max: number | null; histogram: Bin[] };
  attempts: { total: number; retried_lines: number };
  history: { interval_s: number; points: HistoryPoint[] };
  lanes: { provider: string; model: string; mode: string; samples: LaneSample[] }[];
}

export interface FileObject {
  id: string;
  object: "file";
  bytes: number;
  created_at: number;
  expires_at: number | null;
  filename: string;
  purpose: string;
  num_rows?: number | null;
}

export interface TokensEstimate {
  input: { total: number; p50: number; p90: number; p99: number; max: number };
  output: { most: number | null };
}

export interface Estimate {
  object: "file.estimate";
  file_id: string;
  lines: number;
  faulty: number;
  bytes: number;
  tokens: TokensEstimate;
  lanes: {
    provider: string;
    model: string;
    lines: number;
    tokens: TokensEstimate;
    chosen: string;
    modes: {
      mode: string;
      cost_of_inputs: number | null;
      cost_most: number | null;
      seconds: number | null;
      prices: string | null;
    }[];
  }[];
}

export interface FileCheck {
  object: "file.check";
  file_id: string;
  lines: number;
  /** All of them; `errors` names the first thousand. */
  error_count: number;
  errors: BatchError[];
  groups: { provider: string; model: string; lines: number }[];
}

export interface Model {
  id: string;
  owned_by: string;
}

export type Role = "user" | "admin";

export interface Me {
  object: "key";
  id: string | null;
  role: Role;
  tenant: string | null;
  label: string;
  version: string | null;
}

export interface Key {
  id: string;
  tenant: string;
  role: Role;
  label: string;
  tail: string;
  created_at: number;
  revoked_at: number | null;
  /** Only in the reply that makes the key. */
  secret?: string;
}

export interface Tenant {
  id: string;
  name: string;
  weight: number;
  created_at: number;
  quotas: Record<string, number | null>;
  usage?: { lines: number; bytes: number; storage_bytes: number };
}

export interface ProviderLane {
  model: string;
  mode: string;
  state: string;
  reason: string | null;
  until: number | null;
  limit: number | null;
  waiting: number;
  in_flight: number;
  retrying: number;
}

export interface Provider {
  name: string;
  type: string;
  base_url: string | null;
  models: string[];
  default: boolean;
  /** `refused`: the provider does not take it, or the account behind it, at the moment. */
  key: "set" | "none" | "refused";
  state: "ok" | "waiting" | "paused" | "unused";
  reason: string | null;
  until: number | null;
  lanes: ProviderLane[];
}

export interface RetryWhere {
  outcome?: string[];
  finish_reason?: string[];
  code?: string[];
  custom_id?: string[];
  text?: string;
}

export interface RetryBody {
  where?: RetryWhere;
  set?: Record<string, unknown>;
  metadata?: Record<string, string>;
  completion_window?: string;
  max_cost?: number;
}
