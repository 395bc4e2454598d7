"""What a server tells of batches, as far as commands look at it. Whatever an older server does not tell has a default,
and what a newer one tells beside is left aside."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

FINAL = ("completed", "failed", "expired", "cancelled")


class Counts(Struct):
    total: int = 0
    completed: int = 0
    failed: int = 0

    @property
    def done(self) -> int:
        return self.completed + self.failed


class Usage(Struct):
    """`cost` in dollars; None where it is not known."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost: float | None = None


class LaneTold(Struct):
    """Counts of lines; `until` is unix seconds."""

    provider: str
    model: str
    mode: str = "realtime"
    state: str = "open"
    waiting: int = 0
    in_job: int = 0
    in_flight: int = 0
    retrying: int = 0
    done: int = 0
    limit: int | None = None
    reason: str | None = None
    until: int | None = None
    cost: float | None = None

    @property
    def left(self) -> int:
        return self.waiting + self.in_job + self.in_flight + self.retrying


class Extension(Struct):
    closing: str | None = None
    max_cost: float | None = None
    priority: str | None = None
    tenant: str | None = None
    paused_at: int | None = None
    retry_of: str | None = None
    resume_from: str | None = None
    dedupe: bool = False
    invalid_output: int = 0
    reused: int = 0
    lanes: list[LaneTold] = []


class BatchFault(Struct):
    code: str
    message: str
    line: int | None = None


class BatchFaults(Struct):
    data: list[BatchFault] = []


class BatchTold(Struct):
    """Times are unix seconds."""

    id: str
    status: str
    endpoint: str = ""
    model: str | None = None
    input_file_id: str = ""
    output_file_id: str | None = None
    error_file_id: str | None = None
    completion_window: str = ""
    created_at: int = 0
    in_progress_at: int | None = None
    finalizing_at: int | None = None
    cancelling_at: int | None = None
    completed_at: int | None = None
    failed_at: int | None = None
    expired_at: int | None = None
    cancelled_at: int | None = None
    expires_at: int = 0
    errors: BatchFaults | None = None
    request_counts: Counts = field(default_factory=Counts)
    usage: Usage = field(default_factory=Usage)
    metadata: dict[str, str] | None = None
    batchrouter: Extension = field(default_factory=Extension)

    @property
    def final(self) -> bool:
        return self.status in FINAL

    @property
    def name(self) -> str:
        return (self.metadata or {}).get("name", "")

    @property
    def all_well(self) -> bool:
        """Every line is answered."""
        return self.status == "completed" and self.request_counts.completed == self.request_counts.total

    @property
    def state(self) -> str:
        """For people: a paused batch keeps its state on the wire."""
        return "paused" if self.batchrouter.paused_at and not self.final else self.status

    @property
    def ended_at(self) -> int | None:
        return self.completed_at or self.failed_at or self.expired_at or self.cancelled_at

    def ran_s(self, now_s: float) -> float:
        """Since it was made, to its end or until now."""
        return max(0.0, (self.ended_at or now_s) - self.created_at)


class BatchPage(Struct):
    """`data` as it came, for machines; see `BatchTold` for the rest of us."""

    data: list[dict[str, Any]]
    last_id: str | None = None
    has_more: bool = False


class FileTold(Struct):
    id: str
    bytes: int
    filename: str = ""
    num_rows: int | None = None


class Sample(Struct):
    line: int | None = None
    custom_id: str | None = None


class FinishReason(Struct):
    reason: str
    count: int
    sample: Sample = field(default_factory=Sample)


class ErrorClass(Struct):
    count: int
    status_code: int | None = None
    code: str | None = None
    message: str | None = None
    sample: Sample = field(default_factory=Sample)


class Rates(Struct):
    lines_per_s: float | None = None
    input_tokens_per_s: float | None = None
    output_tokens_per_s: float | None = None


class Span(Struct):
    """Seconds until the end."""

    low_s: float
    high_s: float


class Latency(Struct):
    """Milliseconds."""

    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    max: float | None = None


class SummaryTold(Struct):
    lines: int = 0
    rate: Rates = field(default_factory=Rates)
    eta: Span | None = None
    finish_reasons: list[FinishReason] = []
    errors: list[ErrorClass] = []
    latency_ms: Latency = field(default_factory=Latency)


class LineTold(Struct):
    """A finished line. `result` is the line of the output or error file."""

    custom_id: str
    outcome: str
    line: int = 0
    invalid_output: bool = False
    finish_reason: str | None = None
    status_code: int | None = None
    error_code: str | None = None
    attempts: int = 0
    latency_ms: float | None = None
    usage: dict[str, int | None] | None = None
    result: dict[str, Any] | None = None
