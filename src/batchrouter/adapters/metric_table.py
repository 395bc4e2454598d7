"""Every metric that a process tells: its name, kind, labels and meaning. docs/observability.md has the same rows.

Names follow Prometheus' conventions ("Metric and label naming"): base units at the end, `_total` for what only grows.
No label ever holds a tenant, a file, a batch, a custom id or a key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class Metric:
    """`name` without `_total`; `told` is the name in a scrape."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()

    @property
    def told(self) -> str:
        return f"{self.name}_total" if self.kind == "counter" else self.name


LANE = ("provider", "model", "mode")

METRICS: tuple[Metric, ...] = (
    # work
    Metric("batchrouter_lines", "counter", "Lines that this process settled, by how they ended.", (*LANE, "outcome")),
    Metric("batchrouter_tokens", "counter", "Tokens of settled lines; cached is part of input.", (*LANE, "kind")),
    Metric("batchrouter_cost_dollars", "counter", "What settled lines cost, as far as prices are known.", LANE),
    Metric("batchrouter_unpriced_lines", "counter", "Answered lines whose cost nobody knows.", LANE),
    Metric("batchrouter_invalid_outputs", "counter", "Answers that break the schema that was asked for.", LANE),
    Metric("batchrouter_answer_seconds", "histogram", "The last call of each settled line.", LANE),
    Metric("batchrouter_batches_ended", "counter", "Batches that this process ended.", ("state",)),
    # calls
    Metric(
        "batchrouter_calls", "counter", "Calls that ended, by status of the reply or by what failed.", (*LANE, "status")
    ),
    Metric("batchrouter_calls_in_flight", "gauge", "Calls under way.", LANE),
    Metric("batchrouter_calls_in_flight_limit", "gauge", "Calls that the lane may have under way now.", LANE),
    Metric("batchrouter_retrying_lines", "gauge", "Lines that wait here for their next try.", LANE),
    Metric("batchrouter_lane_state", "gauge", "1 for the state in which this worker has the lane.", (*LANE, "state")),
    # journal
    Metric("batchrouter_flush_seconds", "histogram", "Writing a group of finished lines, bytes and commit."),
    Metric("batchrouter_flush_bytes", "histogram", "Size of such a group."),
    Metric("batchrouter_flush_failures", "counter", "Tries to write one that failed; nothing is lost.", ("cause",)),
    Metric("batchrouter_flush_stuck", "gauge", "1 while finished lines cannot be written and nothing is sent."),
    Metric("batchrouter_spilled_lines", "gauge", "Finished lines of this process that wait in the spill."),
    Metric("batchrouter_spill_files", "gauge", "Segments in this machine's spill, of all its processes."),
    Metric("batchrouter_spill_bytes", "gauge", "Their bytes."),
    Metric("batchrouter_memory_budget_used_bytes", "gauge", "Requests, replies and lines not yet written, in memory."),
    Metric("batchrouter_memory_budget_bytes", "gauge", "What these may take."),
    # leases
    Metric("batchrouter_lease_held", "gauge", "1 while this worker may send."),
    Metric("batchrouter_lease_losses", "counter", "How often this worker lost its lease and began anew."),
    Metric("batchrouter_takeovers", "counter", "How often this worker freed lines of workers that were gone."),
    Metric("batchrouter_taken_over_shards", "counter", "Shards that were freed so."),
    # store
    Metric(
        "batchrouter_store_verb_seconds", "histogram", "Calls of the store, waiting for a turn included.", ("verb",)
    ),
    Metric("batchrouter_store_errors", "counter", "Calls of the store that failed.", ("verb", "cause")),
    Metric("batchrouter_blob_seconds", "histogram", "Operations on blobs.", ("op",)),
    Metric("batchrouter_blob_bytes", "counter", "Bytes of blobs that were read and written.", ("direction",)),
    Metric("batchrouter_blob_errors", "counter", "Operations on blobs that failed.", ("op",)),
    # api
    Metric("batchrouter_http_requests", "counter", "Answered requests, by route.", ("method", "route", "status")),
    Metric("batchrouter_http_request_seconds", "histogram", "Until the reply began.", ("method", "route")),
    Metric("batchrouter_quota_refusals", "counter", "Requests refused for a quota of their tenant.", ("code",)),
    Metric("batchrouter_webhook_attempts", "counter", "Attempts to deliver a webhook.", ("outcome",)),
    # the whole database, told alike by every process: take the maximum over processes, not the sum
    Metric("batchrouter_waiting_lines", "gauge", "Lines in the database that no worker has.", (*LANE, "state")),
    Metric("batchrouter_batches", "gauge", "Batches in the database that are not final.", ("state",)),
    Metric("batchrouter_native_jobs", "gauge", "Jobs at providers' batch APIs that have not ended.", ("state",)),
    Metric("batchrouter_oldest_batch_age_seconds", "gauge", "Age of the oldest batch that is not final, else 0."),
    Metric("batchrouter_oldest_waiting_age_seconds", "gauge", "Age of the oldest batch with lines waiting, else 0."),
    Metric("batchrouter_webhooks_waiting", "gauge", "Webhooks that are not delivered yet."),
    Metric("batchrouter_webhook_endpoints_failing", "gauge", "Endpoints whose last attempts failed, or disabled so."),
    Metric("batchrouter_workers", "gauge", "Workers whose lease has not lapsed."),
    Metric("batchrouter_database_reading_age_seconds", "gauge", "Age of these readings of the database."),
    Metric("batchrouter_database_reading_failures", "counter", "Readings of the database that failed."),
    # process
    Metric("batchrouter_event_loop_lag_seconds", "histogram", "By how much the event loop is late."),
    Metric("batchrouter_build_info", "gauge", "1, with what runs.", ("version", "python", "role")),
)

BY_NAME = {metric.name: metric for metric in METRICS}
