"""A batch as people see it, and the line errors that refuse one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from batchrouter.domain.lifecycle import BatchEvent, BatchState
from batchrouter.domain.priority import Priority
from batchrouter.domain.tokens import NO_TOKENS, Tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchError:
    """One entry of `errors.data`; `line` is the physical line number, from 1."""

    code: str
    message: str
    param: str | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Times are unix milliseconds. `total` is 0 until the batch is planned.

    `closing` is the event by which the batch left `in_progress` (or `validating`, for a cancel); None before.
    `seq` orders the batches of a store by creation and is what paging follows.
    """

    id: str
    seq: int
    tenant_id: str
    state: BatchState
    closing: BatchEvent | None = None
    endpoint: str
    completion_window: str
    input_file_id: str
    metadata: Mapping[str, str] | None = None
    output_expires_after_s: int | None = None
    model: str | None = None
    total: int = 0
    completed: int = 0
    failed: int = 0
    tokens: Tokens = NO_TOKENS
    cost_nano: int = 0
    """What the settled lines with a known price cost, in billionths of a dollar."""
    unpriced: int = 0
    """Settled lines that used tokens at an unknown price; while there are any, the batch's cost is unknown."""
    max_cost_nano: int | None = None
    priority: Priority = Priority.NORMAL
    errors: tuple[BatchError, ...] = ()
    output_file_id: str | None = None
    error_file_id: str | None = None
    created_ms: int
    expires_ms: int
    in_progress_ms: int | None = None
    finalizing_ms: int | None = None
    completed_ms: int | None = None
    failed_ms: int | None = None
    expired_ms: int | None = None
    cancelling_ms: int | None = None
    cancelled_ms: int | None = None
    retry_of: str | None = None
    resume_from: str | None = None
    """The batch whose answers to unchanged lines this one kept."""
    dedupe: bool = False
    """Identical lines are sent once."""
    paused_ms: int | None = None
    """Since when a person wants nothing more of it sent; its state and deadline do not know of it."""
    invalid_output: int = 0
    """Succeeded lines whose answer is not what their request's schema asks for."""
    reused: int = 0
    """Settled lines whose answer was not paid for here (`domain.outcome.Flag.REUSED`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBatch:
    """What a person asked for. `seq` and state are given by the store.

    `idempotency_key` and `body_hash` (of the request body as sent) make a repeat harmless; `api_key_id` and `resent`
    (the client said that this is a retry) find a repeat that carries no key.
    """

    id: str
    tenant_id: str
    endpoint: str
    completion_window: str
    input_file_id: str
    metadata: Mapping[str, str] | None = None
    output_expires_after_s: int | None = None
    created_ms: int
    expires_ms: int
    api_key_id: str
    body_hash: str
    route: str = "/v1/batches"
    idempotency_key: str | None = None
    resent: bool = False
    max_cost_nano: int | None = None
    priority: Priority = Priority.NORMAL
    retry_of: str | None = None
    retry: Mapping[str, object] | None = None
    """Which lines of `retry_of` are sent again, and with what body (`where` and `set`, as people asked)."""
    resume_from: str | None = None
    dedupe: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneShare:
    """One batch's lines in one lane, for the extension object `batchrouter.lanes`.

    `waiting`, `in_job` (a native job has them), `in_flight`, `retrying` and `done` add up to the lane's lines.
    `tokens`, `cost_nano` and `unpriced` are of its done lines.
    """

    lane_id: int
    provider: str
    model: str
    mode: str = "realtime"
    in_job: int = 0
    tokens: Tokens = NO_TOKENS
    cost_nano: int = 0
    unpriced: int = 0
    waiting: int
    in_flight: int
    retrying: int
    done: int
    limit: int | None
    state: str
    reason: str | None
    until_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A state change; `no` counts from 1 within its batch."""

    batch_id: str
    no: int
    type: str
    at_ms: int
    data: Mapping[str, object] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return event_id(self.batch_id, self.no)


def event_id(batch_id: str, no: int) -> str:
    """The same wherever the event is told: it can be made out from what it is."""
    return f"evt_{batch_id.removeprefix('batch_')}_{no}"
