"""Every lifecycle of BatchRouter, each as one table.

Rule: whatever affects a state lives in this file. A store changes a state only to what `step` returns, in the
transaction that read the old one; the diagrams of `docs/architecture.md` are drawn from these tables.

The batch machine, in words. A batch is born `validating`: its index is read, and it is either refused whole
(`failed`) or cut into shards (`in_progress`). It leaves `in_progress` by exactly one of three ways, whichever
commits first: every line is settled (`complete`), the window has passed (`expire`), or a person cancels. The first
two pass through `finalizing`, the third through `cancelling`; what it will end as is kept beside the state (the
event by which it left), so that `finish` has one target. A cancel that comes while a batch is `finalizing` changes
nothing: the batch ends as it would have.
"""

from __future__ import annotations

from enum import StrEnum

from batchrouter.errors import IllegalTransition


class BatchState(StrEnum):
    VALIDATING = "validating"
    IN_PROGRESS = "in_progress"
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"


class BatchEvent(StrEnum):
    ACCEPT = "accept"
    REJECT = "reject"
    COMPLETE = "complete"
    EXPIRE = "expire"
    CANCEL = "cancel"
    FINISH_COMPLETED = "finish_completed"
    FINISH_EXPIRED = "finish_expired"
    FINISH_CANCELLED = "finish_cancelled"


BATCH: dict[BatchState, dict[BatchEvent, BatchState]] = {
    BatchState.VALIDATING: {
        BatchEvent.ACCEPT: BatchState.IN_PROGRESS,
        BatchEvent.REJECT: BatchState.FAILED,
        BatchEvent.CANCEL: BatchState.CANCELLING,
    },
    BatchState.IN_PROGRESS: {
        BatchEvent.COMPLETE: BatchState.FINALIZING,
        BatchEvent.EXPIRE: BatchState.FINALIZING,
        BatchEvent.CANCEL: BatchState.CANCELLING,
    },
    BatchState.FINALIZING: {
        BatchEvent.FINISH_COMPLETED: BatchState.COMPLETED,
        BatchEvent.FINISH_EXPIRED: BatchState.EXPIRED,
    },
    BatchState.CANCELLING: {BatchEvent.FINISH_CANCELLED: BatchState.CANCELLED},
    BatchState.COMPLETED: {},
    BatchState.FAILED: {},
    BatchState.EXPIRED: {},
    BatchState.CANCELLED: {},
}

BATCH_FINAL = frozenset(state for state, moves in BATCH.items() if not moves)
BATCH_ENDING = BATCH_FINAL | {BatchState.FINALIZING, BatchState.CANCELLING}
"""No more lines are sent."""
BATCH_PAUSABLE = frozenset({BatchState.VALIDATING, BatchState.IN_PROGRESS})
"""A person may pause it: it keeps its state, and nothing of it is sent until it is resumed."""
PAUSED_BY_USER = "paused_by_user"
"""Why the lines of such a batch wait."""

FINISH: dict[BatchEvent, BatchEvent] = {
    BatchEvent.COMPLETE: BatchEvent.FINISH_COMPLETED,
    BatchEvent.EXPIRE: BatchEvent.FINISH_EXPIRED,
    BatchEvent.CANCEL: BatchEvent.FINISH_CANCELLED,
}
"""The event that ends a batch, by the event with which it began to close."""


class UploadState(StrEnum):
    PENDING = "pending"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class UploadEvent(StrEnum):
    COMPLETE = "complete"
    CANCEL = "cancel"
    EXPIRE = "expire"


UPLOAD: dict[UploadState, dict[UploadEvent, UploadState]] = {
    UploadState.PENDING: {
        UploadEvent.COMPLETE: UploadState.COMPLETED,
        UploadEvent.CANCEL: UploadState.CANCELLED,
        UploadEvent.EXPIRE: UploadState.EXPIRED,
    },
    UploadState.COMPLETED: {},
    UploadState.CANCELLED: {},
    UploadState.EXPIRED: {},
}


class JobState(StrEnum):
    """A native batch job at a provider, seen from us."""

    INTENDED = "intended"
    CREATED = "created"
    CANCELLING = "cancelling"
    COLLECTED = "collected"


class JobEvent(StrEnum):
    CREATE = "create"
    CANCEL = "cancel"
    COLLECT = "collect"
    ABANDON = "abandon"


# A job is written down before the provider hears of it. `abandon`: it was never made there, or was refused as a whole.
JOB: dict[JobState, dict[JobEvent, JobState]] = {
    JobState.INTENDED: {JobEvent.CREATE: JobState.CREATED, JobEvent.ABANDON: JobState.COLLECTED},
    JobState.CREATED: {JobEvent.CANCEL: JobState.CANCELLING, JobEvent.COLLECT: JobState.COLLECTED},
    JobState.CANCELLING: {JobEvent.COLLECT: JobState.COLLECTED},
    JobState.COLLECTED: {},
}


def batch_step(state: BatchState, event: BatchEvent) -> BatchState:
    """The state after `event`. Raises `IllegalTransition` where the table has none."""
    try:
        return BATCH[state][event]
    except KeyError:
        raise IllegalTransition("batch", state, event) from None


def upload_step(state: UploadState, event: UploadEvent) -> UploadState:
    """The state after `event`. Raises `IllegalTransition` where the table has none."""
    try:
        return UPLOAD[state][event]
    except KeyError:
        raise IllegalTransition("upload", state, event) from None


def job_step(state: JobState, event: JobEvent) -> JobState:
    """The state after `event`. Raises `IllegalTransition` where the table has none."""
    try:
        return JOB[state][event]
    except KeyError:
        raise IllegalTransition("job", state, event) from None
