"""What the in-memory store holds, and how a verb becomes one transaction.

The parts of the store (one file per noun) share one `State`. Rows are mutable and never leave it: what a verb returns
is a frozen record, made or replaced here. `atomic` gives a verb the lock for as long as it runs; a verb decides
before it writes, so that one which raises has changed nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from batchrouter.domain.batch import Batch, Event, NewBatch
from batchrouter.domain.file import File, FileRole, SegmentRef, Upload, UploadPart
from batchrouter.domain.job import Job
from batchrouter.domain.lifecycle import BATCH_ENDING, BATCH_FINAL, BatchEvent, BatchState, JobState, batch_step
from batchrouter.domain.settlement import LaneGain
from batchrouter.domain.shard import Duty, Lane, LaneKey, Load, Range, Sample
from batchrouter.domain.sharing import Demand
from batchrouter.domain.tenant import ApiKey, Tenant
from batchrouter.domain.webhook import Delivery, Endpoint, first_delivery
from batchrouter.errors import StaleLease, StoreError

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound="Part")


@dataclass(slots=True)
class KeyRow:
    key: ApiKey
    digest: str


@dataclass(slots=True)
class FileRow:
    """A deleted file keeps its row, because lists are paged by it. `swept`: its bytes have been noted as garbage."""

    file: File
    deleted_ms: int | None = None
    swept: bool = False

    def there(self, now_ms: int) -> bool:
        return self.deleted_ms is None and (self.file.expires_ms is None or now_ms < self.file.expires_ms)


@dataclass(slots=True)
class UploadRow:
    upload: Upload
    parts: list[UploadPart] = field(default_factory=list)


@dataclass(slots=True)
class RangeRow:
    range: Range
    output: tuple[str, int] | None = None
    error: tuple[str, int] | None = None
    fold_until_ms: int = 0

    def run_keys(self) -> list[str]:
        return [run[0] for run in (self.output, self.error) if run is not None]


@dataclass(slots=True)
class ShardRow:
    id: int
    batch_id: str
    range_no: int
    lane_id: int
    members: int
    owner: str | None = None
    epoch: int = 0
    open: bool = True

    def free(self) -> None:
        """Nobody's, under an epoch that nobody was told."""
        self.owner = None
        self.epoch += 1

    def shut(self) -> None:
        self.free()
        self.open = False


@dataclass(slots=True)
class BatchRow:
    """`gone_ms`: since when its segments and runs are garbage, both of its files having been deleted."""

    batch: Batch
    new: NewBatch
    made_ms: int
    input_blob_key: str | None = None
    input_index_key: str | None = None
    input_bytes: int = 0
    planned: bool = False
    sealed: bool = False
    duty_owner: str | None = None
    duty_epoch: int = 0
    done: int = 0
    copying: bool = False
    followers: int = 0
    last_seq: int = 0
    gone_ms: int | None = None
    events: list[Event] = field(default_factory=list)
    segments: dict[int, SegmentRef] = field(default_factory=dict)
    records: dict[int, bytes] = field(default_factory=dict)
    """Records and tail of segments whose bytes were dropped, by `seq`."""
    settled_ms: dict[int, int] = field(default_factory=dict)
    ranges: dict[int, RangeRow] = field(default_factory=dict)
    shards: dict[int, ShardRow] = field(default_factory=dict)
    lanes: dict[int, LaneGain] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)

    def pending(self, shard: ShardRow) -> int:
        """The members whose done bit is clear, as a bitmap."""
        return shard.members & ~self.ranges[shard.range_no].range.done

    def shard_rows(self) -> list[ShardRow]:
        """Lowest range first."""
        return sorted(self.shards.values(), key=lambda shard: (shard.range_no, shard.id))

    @property
    def final(self) -> bool:
        return self.batch.state in BATCH_FINAL

    @property
    def sends(self) -> bool:
        """Whether lines of it may be sent."""
        return self.batch.state is BatchState.IN_PROGRESS and self.batch.paused_ms is None

    @property
    def drained(self) -> bool:
        """But for the lines that follow others."""
        return self.planned and self.done + self.followers >= self.batch.total

    @property
    def answered(self) -> bool:
        return not self.copying and self.drained

    def keeps_of(self) -> set[str | None]:
        """The batches whose answers it still needs."""
        needs = not self.final and (not self.planned or self.copying or self.followers)
        return {self.batch.retry_of, self.batch.resume_from} if needs else set()

    def closing_ms(self) -> int | None:
        return self.batch.cancelling_ms if self.batch.cancelling_ms is not None else self.batch.finalizing_ms

    def free_duty(self) -> None:
        self.duty_owner = None
        self.duty_epoch += 1

    def told(self) -> Batch:
        """The batch for a caller, who may do with its metadata what he likes."""
        metadata = self.batch.metadata
        return replace(self.batch, metadata=None if metadata is None else dict(metadata))


@dataclass(slots=True)
class WorkerRow:
    lease_until_ms: int
    loads: tuple[Load, ...] = ()
    demands: Mapping[str, Demand] = field(default_factory=dict)


@dataclass(slots=True)
class JobRow:
    job: Job
    duty_owner: str | None = None
    duty_epoch: int = 0

    @property
    def open(self) -> bool:
        return self.job.state is not JobState.COLLECTED

    def free_duty(self) -> None:
        self.duty_owner = None
        self.duty_epoch += 1

    def told(self) -> Job:
        return replace(self.job, data=dict(self.job.data))


class State:
    """All rows, the lock, and the few moves that several parts make."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.tenants: dict[str, Tenant] = {}
        self.keys: dict[str, KeyRow] = {}
        self.requests: dict[tuple[str, int], int] = {}  # (tenant, unix minute)
        self.files: dict[str, FileRow] = {}
        self.uploads: dict[str, UploadRow] = {}
        self.batches: dict[str, BatchRow] = {}
        self.lanes: dict[int, Lane] = {}
        self.lane_ids: dict[LaneKey, int] = {}
        self.probers: dict[int, tuple[str, int]] = {}
        """By lane: who probes it, until when."""
        self.workers: dict[str, WorkerRow] = {}
        self.jobs: dict[str, JobRow] = {}
        self.garbage: dict[str, int] = {}
        self.turns: dict[str, int] = {}
        self.endpoints: dict[str, Endpoint] = {}
        self.deliveries: dict[str, Delivery] = {}
        self.shard_homes: dict[int, str] = {}  # shard → batch

    # --- batches --------------------------------------------------------------------------------------------------

    def enter(self, row: BatchRow, event: BatchEvent, now_ms: int, **changes: Any) -> None:
        """Step the batch by its table, note the time and the event; its jobs hear of it at once. Raises before
        anything is changed."""
        after = batch_step(row.batch.state, event)
        times: dict[str, Any] = {f"{after}_ms": now_ms}
        if after in BATCH_ENDING:
            times["paused_ms"] = None
        row.batch = replace(row.batch, state=after, **times, **changes)
        self.tell(row, after, now_ms)
        self.call_jobs(row, now_ms)

    def call_jobs(self, row: BatchRow, now_ms: int) -> None:
        """The batch's jobs are due at once."""
        for each in self.open_jobs(row.batch.id):
            each.job = replace(each.job, next_ms=min(each.job.next_ms, now_ms))

    def tell(self, row: BatchRow, what: str, now_ms: int) -> None:
        no = len(row.events) + 1
        event = Event(batch_id=row.batch.id, no=no, type=f"batch.{what}", at_ms=now_ms)
        row.events.append(event)
        for endpoint in self.endpoints.values():
            if endpoint.tenant_id == row.batch.tenant_id and endpoint.enabled and event.type in endpoint.events:
                made = first_delivery(endpoint, event)
                self.deliveries[made.id] = made

    def drop_deliveries(self, which: Callable[[Delivery], bool]) -> None:
        self.deliveries = {id: each for id, each in self.deliveries.items() if not which(each)}

    def duty_row(self, worker: str, duty: Duty) -> BatchRow:
        """The batch of a duty that is still this worker's; `StaleLease` otherwise."""
        row = self.batches.get(duty.batch_id)
        if row is None or row.duty_owner != worker or row.duty_epoch != duty.duty_epoch:
            raise StaleLease(f"the duty on batch {duty.batch_id} is no longer {worker}'s")
        return row

    def weight(self, tenant_id: str) -> int:
        tenant = self.tenants.get(tenant_id)
        return 1 if tenant is None else tenant.weight

    def max_in_flight(self, tenant_id: str) -> int | None:
        tenant = self.tenants.get(tenant_id)
        return None if tenant is None else tenant.quotas.max_in_flight

    # --- files ----------------------------------------------------------------------------------------------------

    def insert_file(self, file: File) -> File:
        if file.id in self.files:
            raise StoreError(f"a file {file.id} exists")
        kept = replace(file, seq=len(self.files) + 1)
        self.files[file.id] = FileRow(kept)
        return kept

    # --- shards, lanes, workers -----------------------------------------------------------------------------------

    def add_shard(self, row: BatchRow, range_no: int, lane_id: int, members: int) -> None:
        shard = ShardRow(len(self.shard_homes) + 1, row.batch.id, range_no, lane_id, members)
        row.shards[shard.id] = shard
        self.shard_homes[shard.id] = row.batch.id

    def find_shard(self, shard_id: int) -> tuple[BatchRow, ShardRow] | None:
        home = self.shard_homes.get(shard_id)
        if home is None:
            return None
        row = self.batches[home]
        shard = row.shards.get(shard_id)
        return None if shard is None else (row, shard)

    def lane_of(self, key: LaneKey) -> Lane:
        lane_id = self.lane_ids.get(key)
        if lane_id is None:
            lane_id = self.lane_ids[key] = len(self.lane_ids) + 1
            self.lanes[lane_id] = Lane(id=lane_id, key=key)
        return self.lanes[lane_id]

    def open_jobs(self, batch_id: str) -> list[JobRow]:
        return [each for each in self.jobs.values() if each.open and each.job.batch_id == batch_id]

    def give_back(self, row: BatchRow, shard: ShardRow) -> None:
        """Free for the next worker, or closed where nothing is left to do."""
        if row.pending(shard):
            shard.free()
        else:
            shard.shut()

    def free_worker(self, worker: str) -> int:
        """Take everything from a worker and forget it; returns how many shards it had."""
        freed = 0
        self.workers.pop(worker, None)
        for row in self.batches.values():
            if row.duty_owner == worker:
                row.free_duty()
            for shard in row.shards.values():
                if shard.owner == worker:
                    self.give_back(row, shard)
                    freed += 1
        for job in self.jobs.values():
            if job.duty_owner == worker:
                job.free_duty()
        return freed

    def require_lease(self, worker: str, now_ms: int) -> None:
        row = self.workers.get(worker)
        if row is None or row.lease_until_ms <= now_ms:
            raise StaleLease(f"the lease of {worker} has lapsed")

    # --- bytes ----------------------------------------------------------------------------------------------------

    def note_garbage(self, key: str | None, now_ms: int) -> None:
        if key is not None:
            self.garbage.setdefault(key, now_ms)

    def named_keys(self) -> Iterator[str | None]:
        """Every blob key that a row names, garbage included."""
        yield from self.garbage
        for file in self.files.values():
            if not file.swept and file.file.role is FileRole.UPLOADED:
                yield from (file.file.blob_key, file.file.index_key)
        for upload in self.uploads.values():
            yield from (part.blob_key for part in upload.parts)
        for row in self.batches.values():
            if not row.final:
                yield from (row.input_blob_key, row.input_index_key)
            yield from (segment.blob_key for segment in row.segments.values())
            for home in row.ranges.values():
                yield from home.run_keys()


class Part:
    """One noun's verbs over the shared state."""

    __slots__ = ("_state",)

    def __init__(self, state: State) -> None:
        self._state = state


def atomic(verb: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """The verb as one transaction."""

    @wraps(verb)
    def locked(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with self._state.lock:
            return verb(self, *args, **kwargs)

    return locked
