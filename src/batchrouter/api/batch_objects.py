"""Batches as they are sent; see `objects`."""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from batchrouter.api.objects import seconds
from batchrouter.domain.batch import Batch, BatchError, LaneShare
from batchrouter.domain.cost import NANO
from batchrouter.domain.job import Job
from batchrouter.domain.priority import Priority
from batchrouter.service.batches import BatchView

BatchStatus = Literal[
    "validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"
]


class BatchErrorObject(Struct):
    code: str
    message: str
    param: str | None
    line: int | None


class BatchErrorList(Struct):
    object: Literal["list"]
    data: list[BatchErrorObject]


class RequestCounts(Struct):
    total: int
    completed: int
    failed: int


class InputDetails(Struct):
    cached_tokens: int


class OutputDetails(Struct):
    reasoning_tokens: int


class Usage(Struct):
    """`cost` is FastRouter's: dollars for the lines that are settled; null before there are any, and where the price of
    one of them is not known."""

    input_tokens: int
    input_tokens_details: InputDetails
    output_tokens: int
    output_tokens_details: OutputDetails
    total_tokens: int
    cost: float | None


class LaneObject(Struct):
    """One lane's part of a batch: counts of lines, and why the lane waits and until when (unix seconds). `mode` is
    realtime, batch (the provider's own batch API, which has `in_job` of the lines) or flex; `cost` as in usage."""

    provider: str
    model: str
    mode: str
    state: str
    waiting: int
    in_job: int
    in_flight: int
    retrying: int
    done: int
    limit: int | None
    reason: str | None
    until: int | None
    cost: float | None


class JobObject(Struct):
    """A batch's job at a provider, under the provider's own id. `completed` and `failed` are the provider's counts;
    `maybe_paid_twice` counts lines that had to be sent in real time before the job ended."""

    id: str
    provider: str
    model: str
    provider_job_id: str | None
    status: str
    lines: int
    completed: int
    failed: int
    maybe_paid_twice: int
    created_at: int
    submitted_at: int | None
    cancelling_at: int | None
    ended_at: int | None
    reason: str | None


class Extension(Struct):
    """What OpenAI's object has no place for. `closing`: why the batch ends or ended (complete, expire, cancel);
    `max_cost`: dollars that it may cost; `priority`: among its tenant's batches; `paused_at`: since when a person wants
    nothing more of it sent; `retry_of`, `resume_from`: the batch whose answers it kept; `dedupe`: identical lines are
    sent once; `invalid_output`: answers that are not what their request's schema asks for; `reused`: lines whose answer
    was not paid for here. Lists have no `lanes` and `jobs`."""

    tenant: str
    closing: str | None
    max_cost: float | None
    priority: Literal["high", "normal", "low"]
    paused_at: int | None
    retry_of: str | None
    resume_from: str | None
    dedupe: bool
    invalid_output: int
    reused: int
    lanes: list[LaneObject] | UnsetType = UNSET
    jobs: list[JobObject] | UnsetType = UNSET


class BatchObject(Struct):
    """`batch_id` is FastRouter's."""

    id: str
    object: Literal["batch"]
    endpoint: str
    model: str | None
    errors: BatchErrorList | None
    input_file_id: str
    completion_window: str
    status: BatchStatus
    output_file_id: str | None
    error_file_id: str | None
    created_at: int
    in_progress_at: int | None
    expires_at: int
    finalizing_at: int | None
    completed_at: int | None
    failed_at: int | None
    expired_at: int | None
    cancelling_at: int | None
    cancelled_at: int | None
    request_counts: RequestCounts
    usage: Usage
    metadata: dict[str, str] | None
    batch_id: str
    batchrouter: Extension


class BatchList(Struct):
    object: Literal["list"]
    data: list[BatchObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


_WORDS: dict[Priority, Literal["high", "normal", "low"]] = {
    Priority.HIGH: "high",
    Priority.NORMAL: "normal",
    Priority.LOW: "low",
}


def batch_object(view: BatchView) -> BatchObject:
    batch = view.batch
    return BatchObject(
        id=batch.id,
        object="batch",
        endpoint=batch.endpoint,
        model=batch.model,
        errors=_errors(batch),
        input_file_id=batch.input_file_id,
        completion_window=batch.completion_window,
        status=batch.state.value,
        output_file_id=batch.output_file_id,
        error_file_id=batch.error_file_id,
        created_at=batch.created_ms // 1000,
        in_progress_at=seconds(batch.in_progress_ms),
        expires_at=batch.expires_ms // 1000,
        finalizing_at=seconds(batch.finalizing_ms),
        completed_at=seconds(batch.completed_ms),
        failed_at=seconds(batch.failed_ms),
        expired_at=seconds(batch.expired_ms),
        cancelling_at=seconds(batch.cancelling_ms),
        cancelled_at=seconds(batch.cancelled_ms),
        request_counts=RequestCounts(batch.total, batch.completed, batch.failed),
        usage=_usage(batch),
        metadata=None if batch.metadata is None else dict(batch.metadata),
        batch_id=batch.id,
        batchrouter=Extension(
            tenant=view.tenant,
            closing=batch.closing,
            max_cost=None if batch.max_cost_nano is None else dollars(batch.max_cost_nano),
            priority=_WORDS[batch.priority],
            paused_at=seconds(batch.paused_ms),
            retry_of=batch.retry_of,
            resume_from=batch.resume_from,
            dedupe=batch.dedupe,
            invalid_output=batch.invalid_output,
            reused=batch.reused,
            lanes=UNSET if view.lanes is None else [_lane(share) for share in view.lanes],
            jobs=UNSET if view.jobs is None else _jobs(view),
        ),
    )


def _errors(batch: Batch) -> BatchErrorList | None:
    if not batch.errors:
        return None
    return BatchErrorList("list", [error_object(error) for error in batch.errors])


def error_object(error: BatchError) -> BatchErrorObject:
    return BatchErrorObject(error.code, error.message, error.param, error.line)


def _usage(batch: Batch) -> Usage:
    tokens = batch.tokens
    return Usage(
        input_tokens=tokens.input,
        input_tokens_details=InputDetails(tokens.cached),
        output_tokens=tokens.output,
        output_tokens_details=OutputDetails(tokens.reasoning),
        total_tokens=tokens.input + tokens.output,
        cost=_cost(batch.cost_nano, batch.unpriced, batch.completed + batch.failed),
    )


def _cost(nano: int, unpriced: int, settled: int) -> float | None:
    return None if unpriced or not settled else dollars(nano)


def dollars(nano: int) -> float:
    """From billionths."""
    return nano / NANO


def _jobs(view: BatchView) -> list[JobObject]:
    lanes = {share.lane_id: share for share in view.lanes or ()}
    return [_job(job, lanes.get(job.lane_id)) for job in view.jobs or ()]


def _job(job: Job, lane: LaneShare | None) -> JobObject:
    return JobObject(
        id=job.id,
        provider="" if lane is None else lane.provider,
        model="" if lane is None else lane.model,
        provider_job_id=job.ext_id,
        status=job.state.value,
        lines=job.lines,
        completed=job.completed,
        failed=job.failed,
        maybe_paid_twice=job.twice,
        created_at=job.created_ms // 1000,
        submitted_at=seconds(job.submitted_ms),
        cancelling_at=seconds(job.cancelling_ms),
        ended_at=seconds(job.ended_ms),
        reason=job.reason,
    )


def _lane(share: LaneShare) -> LaneObject:
    return LaneObject(
        provider=share.provider,
        model=share.model,
        mode=share.mode,
        state=share.state,
        waiting=share.waiting,
        in_job=share.in_job,
        in_flight=share.in_flight,
        retrying=share.retrying,
        done=share.done,
        limit=share.limit,
        reason=share.reason,
        until=seconds(share.until_ms),
        cost=_cost(share.cost_nano, share.unpriced, share.done),
    )
