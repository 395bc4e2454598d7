"""Ranges, shards and lanes as the engine sees them.

A batch's lines are numbered from 0 in input order and cut into ranges. The range holds the done bitmap, the only
truth of what is settled. A shard is the part of a range that goes to one lane, under one owner and epoch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from batchrouter.domain.batch import BatchError
from batchrouter.domain.lifecycle import BatchEvent, BatchState
from batchrouter.domain.priority import Priority
from batchrouter.domain.sharing import Peer


class LaneMode(StrEnum):
    """How a lane reaches its provider."""

    REALTIME = "realtime"
    BATCH = "batch"
    """The provider's own batch API."""
    FLEX = "flex"
    """Real-time calls at the price of a batch, which may be refused for want of room (`service_tier: flex`)."""


@dataclass(frozen=True, slots=True)
class LaneKey:
    """A lane is provider + model + credential pool + mode; `model` is as the upstream knows it."""

    provider: str
    model: str
    pool: str = ""
    mode: LaneMode = LaneMode.REALTIME


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """`first_line` and `lines` count index records; bits of `done` are places within the range.

    `completed` and `failed` are counts; `output_bytes` and `error_bytes` are what the range adds to each file.
    """

    batch_id: str
    range_no: int
    first_line: int
    lines: int
    done: int = 0
    output_bytes: int = 0
    error_bytes: int = 0
    segment_seqs: tuple[int, ...] = ()
    folded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedShard:
    range_no: int
    lane: LaneKey
    members: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What validation decided for a good file: applied whole, in one transaction. Lines in no shard are told otherwise:
    `copying`: some are answered by another batch, and are copied; `followers` counts those that wait for the answer to
    an identical line."""

    total: int
    model: str | None
    ranges: tuple[Range, ...]
    shards: tuple[PlannedShard, ...]
    copying: bool = False
    followers: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """What validation decided for a bad file."""

    errors: tuple[BatchError, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Duty:
    """A batch that needs a step, taken by one worker under `duty_epoch`.

    The step follows from the rest: `validating` → plan; `in_progress` past `expires_ms` → close as expired;
    `in_progress` and `copying` → copy what is kept of `retry_of` or `resume_from`; `in_progress` with all lines done
    but the `followers` → close as complete; `finalizing` or `cancelling` → seal, copy, write gaps, finish.
    A `cancelling` batch that was never planned (`planned` false) is planned first, so that its lines can be told.
    """

    batch_id: str
    tenant_id: str
    duty_epoch: int
    state: BatchState
    closing: BatchEvent | None
    sealed: bool
    planned: bool
    endpoint: str
    input_file_id: str
    input_blob_key: str | None
    input_index_key: str | None
    input_bytes: int
    output_expires_after_s: int | None
    total: int
    done: int
    expires_ms: int
    closing_ms: int | None
    metadata: Mapping[str, str] = field(default_factory=dict)
    open_jobs: int = 0
    """Native jobs of the batch that are not `collected`."""
    created_ms: int = 0
    retry_of: str | None = None
    retry: Mapping[str, object] | None = None
    """As in `NewBatch`."""
    resume_from: str | None = None
    resume_index_key: str | None = None
    """Of the input of `resume_from`."""
    dedupe: bool = False
    copying: bool = False
    followers: int = 0

    @property
    def answered(self) -> bool:
        """Nothing is left to be sent or kept: those that follow are told when the batch closes."""
        return not self.copying and self.done + self.followers >= self.total


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingGroup:
    """Open shards of one batch in one lane that nobody owns."""

    lane_id: int
    batch_id: str
    tenant_id: str
    weight: int
    deadline_ms: int
    shards: int
    lines: int
    priority: Priority = Priority.NORMAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A shard that is now ours under `epoch`. `pending` = members whose done bit was clear at the claim."""

    shard_id: int
    epoch: int
    batch_id: str
    tenant_id: str
    weight: int
    deadline_ms: int
    endpoint: str
    lane_id: int
    range_no: int
    first_line: int
    lines: int
    pending: int
    input_blob_key: str
    input_index_key: str
    max_cost_nano: int | None = None
    """What the batch may cost in all, in billionths of a dollar."""
    cost_nano: int = 0
    """What its settled lines cost, at the moment of the claim."""
    priority: Priority = Priority.NORMAL
    max_in_flight: int | None = None
    """How many calls its tenant may have in flight, over all lanes and workers."""
    retry: Mapping[str, object] | None = None
    """As in `NewBatch`: `set` changes the bodies that are sent."""
    after_another: bool = False
    """Whether the batch retries another one, or resumes from it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """A lane's row: what was learnt about it and why it waits, for people and for the next start."""

    id: int
    key: LaneKey
    state: str = "open"
    reason: str | None = None
    until_ms: int | None = None
    limit: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What one worker has of one batch in one lane at this moment. `reason`: why the batch waits there though its lane
    may not, and `until_ms` until when; both are told in the place of the lane's own. `throttled`: replies that told
    this worker to slow down in that lane, whichever batch's, since it began."""

    lane_id: int
    batch_id: str
    in_flight: int
    retrying: int
    reason: str | None = None
    until_ms: int | None = None
    throttled: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """How a batch was in a lane at a moment: lines in flight over all workers, the lane's limit, and so far the replies
    that told workers to slow down there (less, where one of them has ended) and what its lines had cost."""

    lane_id: int
    at_ms: int
    in_flight: int
    limit: int | None
    throttled: int
    cost_nano: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """What a worker hears when it renews its lease.

    `alive` false: the lease had lapsed and was taken; every shard is lost. `closing`: of the batches it named in its
    loads, those that are closing or gone, so that their calls can be ended. `reaped`: shards freed of dead workers.
    `next_lapse_ms`: when the first lease of another worker ends, if it is not renewed; None where there is no other.
    `peers`: all workers whose rows stand, this one included, each with what it told last; `costs`: of the batches whose
    money gates this one named, what their settled lines cost at this moment, in billionths of a dollar.
    """

    alive: bool
    closing: frozenset[str] = frozenset()
    reaped: int = 0
    next_lapse_ms: int | None = None
    peers: tuple[Peer, ...] = ()
    costs: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentDraft:
    """A segment about to be settled. Bytes first: when `blob_key` is set the blob is already durable.

    Small ones come whole in `data`. `records` are the packed records of `domain.outcome`, in both cases.
    `duty_epoch` fences the gap records (shard 0); None where there are none. `model` is what the upstream said it is.
    `costs` has one signed 64-bit little-endian number a record, in billionths of a dollar; -1: its price is unknown.
    Empty means that nothing is known of any; gap records cost nothing, whatever stands there.
    """

    batch_id: str
    length: int
    records: bytes
    blob_key: str | None = None
    data: bytes | None = None
    duty_epoch: int | None = None
    model: str | None = None
    costs: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What a settle did. `admitted`: the records that counted, by place. `seq` is None when none did and nothing was
    stored. `drained`: every line of the batch is settled, but for those that follow an identical one. `state`: the
    batch's at that moment."""

    seq: int | None
    admitted: int
    drained: bool
    state: BatchState


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Lines that change lane: taken out of `shard_id` (held by the mover under `epoch`) and put into a new open
    shard of `lane` in the same range. The old shard's epoch is raised; the caller continues with the new one."""

    shard_id: int
    epoch: int
    members: int
    lane: LaneKey


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldWork:
    """A range whose every line is settled and that has no run yet."""

    batch_id: str
    range_no: int
    first_line: int
    lines: int
    segment_seqs: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """Where a range's parts of the two files are from now on: the key of a run, and the byte of it at which the part
    begins. None where the range adds nothing to that file."""

    range_no: int
    output: tuple[str, int] | None
    error: tuple[str, int] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What there is to do for a worker at this moment. `waiting` as `Ledger.waiting` tells it; `duties`, `jobs` and
    `folds`: whether `take_duties`, `take_jobs` and `take_folds` would find something. `quotas`: how many calls each
    tenant may have in flight, of those that have such a quota. `paused`: batches that a person has paused and of which
    the worker has shards."""

    waiting: tuple[WaitingGroup, ...] = ()
    duties: bool = False
    jobs: bool = False
    folds: bool = False
    quotas: Mapping[str, int] = field(default_factory=dict)
    paused: frozenset[str] = frozenset()
