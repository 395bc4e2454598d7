"""Native batch jobs: lines that a provider runs for us as a batch of its own, at its lower price.

A job is a row of its own and owns its shards, because it lives longer than any worker: workers only take single steps
of it (submit, poll, collect), each under a new duty epoch. Its states are in `domain.lifecycle.JOB`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from batchrouter.domain.lifecycle import BatchEvent, BatchState, JobState
from batchrouter.domain.shard import Lane


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Times are unix milliseconds. `id` (`job_` and 24 hex characters) is the tag that the provider's job carries.

    `tokens` is the estimate of its input, for limits of enqueued tokens; `bytes` of the file that is sent. `sent_ms`:
    when a create was first tried; from then on its outcome may be unknown, and the provider's list is asked before
    another. `ext_id` is the provider's name for the job, `data` what else must be remembered of it (its files).
    `completed` and `failed` are the provider's own counts, for people. `twice`: lines that went out in real time before
    the job had ended, so that they may be paid twice.
    """

    id: str
    batch_id: str
    lane_id: int
    state: JobState = JobState.INTENDED
    lines: int
    tokens: int
    bytes: int
    created_ms: int
    next_ms: int
    sent_ms: int | None = None
    submitted_ms: int | None = None
    cancelling_ms: int | None = None
    ended_ms: int | None = None
    ext_id: str | None = None
    completed: int = 0
    failed: int = 0
    polls: int = 0
    tries: int = 0
    twice: int = 0
    reason: str | None = None
    data: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDuty:
    """A job that needs a step, taken by one worker under `duty_epoch`, with what the step must know of its batch.

    `pending` counts the batch's lines that are not settled and follow no other, in whatever lane. `paused`: a person
    wants nothing more of the batch sent; what the provider has goes on.
    """

    job: Job
    duty_epoch: int
    lane: Lane
    tenant_id: str
    batch_state: BatchState
    closing: BatchEvent | None
    sealed: bool
    endpoint: str
    deadline_ms: int
    pending: int
    input_blob_key: str
    input_index_key: str
    paused: bool = False
    retry: Mapping[str, object] | None = None
    """As in `domain.batch.NewBatch`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobShard:
    """A shard of a job, under the epoch by which its results count. Bits are places within the range.

    `open` false: its lines were overtaken; a late result still counts where the done bit is clear.
    """

    shard_id: int
    epoch: int
    range_no: int
    first_line: int
    lines: int
    members: int
    done: int
    open: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class JobNote:
    """What a step learnt: None leaves a field as it is. `next_ms` is always told: when the next step is due."""

    next_ms: int
    sent_ms: int | None = None
    ext_id: str | None = None
    completed: int | None = None
    failed: int | None = None
    polls: int | None = None
    tries: int | None = None
    reason: str | None = None
    data: Mapping[str, str] | None = None


class Enqueued(NamedTuple):
    """What a lane has at its provider, over all batches: jobs that are not `collected`, and their sums."""

    jobs: int
    lines: int
    tokens: int


class JobPhase(StrEnum):
    """A provider's many words for a job's state, as far as we must tell them apart."""

    RUNNING = "running"
    CANCELLING = "cancelling"
    ENDED = "ended"
    """Terminal, however: what has results can be read now, and nothing more will come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A provider's job as it was just seen. `refused`: it was rejected as a whole and ran no line; `code` then is the
    provider's own (`token_limit_exceeded`, …). `readable`: results can be read although it has not ended.
    `data`: handles to keep (names of its files); `reason`: one short sentence without anything of a prompt.
    """

    ext_id: str
    phase: JobPhase
    completed: int = 0
    failed: int = 0
    total: int = 0
    refused: bool = False
    readable: bool = False
    code: str | None = None
    reason: str | None = None
    data: Mapping[str, str] = field(default_factory=dict)


class ResultKind(StrEnum):
    ANSWERED = "answered"
    """There is a status and a body, good or bad, as a real-time call would have given them."""
    UNFINISHED = "unfinished"
    """Expired, cancelled or lost: the line was not run, is not paid, and may be sent again."""


class Result(NamedTuple):
    """One line of a job's results. `key` is ours (`line_key`); None where the provider gave none that can be read.
    `status` and `body` are what the lane's `Wire.decode` takes."""

    key: str | None
    kind: ResultKind
    status: int = 0
    body: bytes = b""
    request_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeFacts:
    """How one provider's batch API differs from the others: data, no code. Sizes in bytes, times in seconds.

    `dialect` names the adapter; `files` how files go up and down in the OpenAI dialect. `window_s` is what is asked of
    the provider (the smallest of `windows_s` that covers the batch's own, else the largest). `endpoints`: those that it
    takes; `url_rewrite` maps an endpoint to the url in its lines. `statuses` maps its words to phases where they are
    not OpenAI's. `enqueued_tokens`: None where no limit is known.
    """

    dialect: str = "openai"
    files: str = "openai"
    purpose: str = "batch"
    unwrap: str | None = None
    endpoints: tuple[str, ...] = ("/v1/chat/completions",)
    url_rewrite: Mapping[str, str] = field(default_factory=dict)
    windows_s: tuple[int, ...] = (86_400,)
    max_requests: int = 50_000
    max_bytes: int = 200 * 1024 * 1024
    max_jobs: int | None = None
    enqueued_tokens: int | None = None
    discount: float = 0.5
    poll_min_s: float = 10.0
    poll_max_s: float = 60.0
    statuses: Mapping[str, str] = field(default_factory=dict)


HEADROOM = 0.95
"""Of a provider's published limits this much is used: they count bytes and tokens in their own way."""


def line_key(job_id: str, line: int) -> str:
    """The custom_id of a line in its job, for a line's place among the batch's lines. Never the person's own: those
    may be longer or of other characters than a provider takes. Holds the job's tag, so that results prove whose they
    are; 64 characters at most, of `[a-zA-Z0-9_-]`."""
    return f"{job_id}-{line}"


def key_line(job_id: str, key: str | None) -> int | None:
    """The line's place from its key; None for a key that is not this job's."""
    if key is None or not key.startswith(job_id + "-"):
        return None
    number = key[len(job_id) + 1 :]
    return int(number) if number.isascii() and number.isdigit() and len(number) < 12 else None
