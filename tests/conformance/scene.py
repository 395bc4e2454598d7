"""Builders for the store's suites: a batch driven to any state, records and segments as the engine packs them.

A scene speaks only the ports. Its time stands still at `now` unless a test moves it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Protocol

from batchrouter.domain import bitmap
from batchrouter.domain.batch import Batch, BatchError, NewBatch
from batchrouter.domain.file import File, FileRole
from batchrouter.domain.job import Job, JobDuty, JobNote, JobShard
from batchrouter.domain.lifecycle import BatchEvent, BatchState, JobEvent
from batchrouter.domain.outcome import GAP_SHARD, Finish, Outcome, Record, pack, tail
from batchrouter.domain.shard import (
    Beat,
    Claim,
    Duty,
    Fold,
    FoldWork,
    LaneKey,
    LaneMode,
    Plan,
    PlannedShard,
    Range,
    Rejection,
    SegmentDraft,
    Settled,
)
from batchrouter.domain.tenant import Tenant
from batchrouter.ports.backlog import Backlogs
from batchrouter.ports.catalog import Catalog
from batchrouter.ports.jobs import JobLedger
from batchrouter.ports.ledger import Ledger
from batchrouter.ports.results import Results
from batchrouter.ports.webhooks import WebhookCatalog, WebhookLedger

START_MS = 1_700_000_000_000
LEASE_MS = 30_000
WINDOW_MS = 24 * 3600 * 1000
FAST, SLOW = LaneKey("openai", "fast"), LaneKey("local", "slow")
CHEAP = LaneKey("openai", "fast", mode=LaneMode.BATCH)
TENANT = "tenant_a"
REFUSAL = Rejection(errors=(BatchError(code="empty_file", message="The file is empty."),))


class Store(Protocol):
    @property
    def catalog(self) -> Catalog: ...

    @property
    def ledger(self) -> Ledger: ...

    @property
    def jobs(self) -> JobLedger: ...

    @property
    def backlogs(self) -> Backlogs: ...

    @property
    def webhooks(self) -> WebhookCatalog: ...

    @property
    def webhook_ledger(self) -> WebhookLedger: ...

    @property
    def results(self) -> Results: ...

    def close(self) -> None: ...


def segment(records: Iterable[Record]) -> tuple[bytes, bytes]:
    """The records with their offsets, packed, and the whole segment around them: a line per record of its length."""
    placed, lines, offset = [], [], 0
    for record in records:
        placed.append(record._replace(offset=offset))
        lines.append(b"x" * (record.length - 1) + b"\n")
        offset += record.length
    packed = pack(placed)
    return packed, b"".join(lines) + packed + tail(len(placed))


def record(claim: Claim, place: int, outcome: Outcome = Outcome.SUCCEEDED, **changes: Any) -> Record:
    """The outcome of one line of a claim, by its place in the range."""
    answered = outcome is Outcome.SUCCEEDED
    made = Record(
        line=claim.first_line + place,
        range_no=claim.range_no,
        shard=claim.shard_id,
        epoch=claim.epoch,
        outcome=int(outcome),
        finish=int(Finish.STOP if answered else Finish.NONE),
        status=200 if answered else 400,
        attempts=1,
        flags=0,
        latency_ms=120,
        lane=claim.lane_id,
        tokens_in=10 if answered else 0,
        tokens_cached=4 if answered else 0,
        tokens_out=3 if answered else 0,
        tokens_reasoning=1 if answered else 0,
        offset=0,
        length=20 if answered else 30,
    )
    return made._replace(**changes)


def job_record(
    shard: JobShard, lane_id: int, place: int, outcome: Outcome = Outcome.SUCCEEDED, **changes: Any
) -> Record:
    """The outcome of one line of a job's shard, by its place in the range."""
    known = {"shard_id": shard.shard_id, "epoch": shard.epoch, "range_no": shard.range_no}
    claim = Claim(
        **known, first_line=shard.first_line, lines=shard.lines, lane_id=lane_id, pending=0, batch_id="", tenant_id="",
        weight=1, deadline_ms=0, endpoint="", input_blob_key="", input_index_key="",
    )  # fmt: skip
    return record(claim, place, outcome, **changes)


def records_of(claim: Claim, outcome: Outcome = Outcome.SUCCEEDED) -> list[Record]:
    return [record(claim, place, outcome) for place in bitmap.members(claim.pending)]


def gap_records(duty: Duty, ranges: Sequence[Range], outcome: Outcome) -> list[Record]:
    """What whoever closes a batch writes for the lines that have no answer."""
    return [
        Record(
            line=home.first_line + place, range_no=home.range_no, shard=GAP_SHARD, epoch=duty.duty_epoch,
            outcome=int(outcome), finish=0, status=0, attempts=0, flags=0, latency_ms=0, lane=0, tokens_in=0,
            tokens_cached=0, tokens_out=0, tokens_reasoning=0, offset=0, length=40,
        )
        for home in ranges
        for place in bitmap.members(bitmap.full(home.lines) & ~home.done)
    ]  # fmt: skip


def draft_of(batch_id: str, records: Iterable[Record], **changes: Any) -> SegmentDraft:
    packed, whole = segment(records)
    return replace(SegmentDraft(batch_id=batch_id, length=len(whole), records=packed, data=whole), **changes)


def a_plan(
    batch_id: str, lines: Sequence[int] = (4,), lanes: Sequence[LaneKey] = (FAST,), model: str | None = None
) -> Plan:
    """Ranges of so many lines; within each, line i goes to lane i modulo their number."""
    ranges, shards, first = [], [], 0
    for range_no, count in enumerate(lines):
        ranges.append(Range(batch_id=batch_id, range_no=range_no, first_line=first, lines=count))
        first += count
        for turn, lane in enumerate(lanes):
            members = bitmap.of(range(turn, count, len(lanes)))
            if members:
                shards.append(PlannedShard(range_no=range_no, lane=lane, members=members))
    return Plan(total=first, model=model, ranges=tuple(ranges), shards=tuple(shards))


class Scene:
    def __init__(self, store: Store) -> None:
        self.store = store
        self.catalog = store.catalog
        self.ledger = store.ledger
        self.jobs = store.jobs
        self.now = START_MS
        self.made = 0
        self.tenant(TENANT)

    # --- people ---------------------------------------------------------------------------------------------------

    def tenant(self, tenant_id: str, weight: int = 1) -> Tenant:
        return self.catalog.add_tenant(Tenant(id=tenant_id, name=tenant_id, weight=weight, created_ms=self.now))

    def file(self, file_id: str, tenant: str = TENANT, **changes: Any) -> File:
        file = File(
            id=file_id, tenant_id=tenant, purpose="batch", filename="in.jsonl", bytes=100, lines=4,
            created_ms=self.now, blob_key=f"files/{file_id}", index_key=f"files/{file_id}.index",
        )  # fmt: skip
        return self.catalog.add_file(replace(file, **changes))

    def new_batch(self, batch_id: str, **changes: Any) -> NewBatch:
        new = NewBatch(
            id=batch_id, tenant_id=TENANT, endpoint="/v1/chat/completions", completion_window="24h",
            input_file_id=f"{batch_id}.in", created_ms=self.now, expires_ms=self.now + WINDOW_MS, api_key_id="key_1",
            body_hash=f"hash of {batch_id}",
        )  # fmt: skip
        return replace(new, **changes)

    def create(self, batch_id: str, **changes: Any) -> Batch:
        """A batch in `validating`, with its input file."""
        new = self.new_batch(batch_id, **changes)
        if self.catalog.file(new.tenant_id, new.input_file_id, self.now) is None:
            self.file(new.input_file_id, new.tenant_id)
        batch = self.catalog.create_batch(new, now_ms=self.now).batch
        assert batch is not None
        return batch

    def batch(self, batch_id: str, tenant: str = TENANT) -> Batch:
        batch = self.catalog.batch(tenant, batch_id)
        assert batch is not None
        return batch

    def state(self, batch_id: str) -> BatchState:
        return self.batch(batch_id).state

    # --- workers --------------------------------------------------------------------------------------------------

    def worker(self, name: str = "w1", *, alone: bool = False, lease_ms: int = LEASE_MS) -> str:
        self.ledger.enlist(name, self.now, lease_ms, alone=alone)
        return name

    def reap(self, worker: str) -> Beat:
        """Beats of a worker that may be late itself: the first only renews then, the second frees the others."""
        self.ledger.beat(worker, self.now, LEASE_MS, [])
        return self.ledger.beat(worker, self.now, LEASE_MS, [])

    def duty(self, worker: str, batch_id: str) -> Duty:
        found = [duty for duty in self.ledger.take_duties(worker, self.now, 100) if duty.batch_id == batch_id]
        assert len(found) == 1, f"{worker} was given {len(found)} duties on {batch_id}"
        return found[0]

    def has_duty(self, worker: str, batch_id: str) -> bool:
        return any(duty.batch_id == batch_id for duty in self.ledger.take_duties(worker, self.now, 100))

    def running(
        self,
        batch_id: str = "b1",
        lines: Sequence[int] = (4,),
        lanes: Sequence[LaneKey] = (FAST,),
        worker: str = "w1",
        model: str | None = None,
        **changes: Any,
    ) -> Batch:
        """A batch `in_progress`; `worker` must be enlisted."""
        self.create(batch_id, **changes)
        assert self.ledger.plan(worker, self.duty(worker, batch_id), a_plan(batch_id, lines, lanes, model), self.now)
        return self.batch(batch_id, changes.get("tenant_id", TENANT))

    def lane_id(self, key: LaneKey = FAST) -> int:
        return self.ledger.lane(key).id

    def claim(self, worker: str, batch_id: str = "b1", lane: LaneKey = FAST, count: int = 100) -> list[Claim]:
        return self.ledger.claim(worker, self.lane_id(lane), batch_id, count, self.now)

    def claim_one(self, worker: str, batch_id: str = "b1", lane: LaneKey = FAST) -> Claim:
        (claim,) = self.claim(worker, batch_id, lane, 1)
        return claim

    def settle(self, worker: str, batch_id: str, records: Iterable[Record], **changes: Any) -> Settled:
        return self.ledger.settle(worker, draft_of(batch_id, records, **changes), self.now)

    def ranges(self, batch_id: str = "b1") -> list[Range]:
        return self.ledger.ranges(batch_id, -1, 1000)

    def done(self, batch_id: str = "b1") -> int:
        return sum(home.done.bit_count() for home in self.ranges(batch_id))

    def answer_all(self, worker: str, batch_id: str = "b1", lane: LaneKey = FAST) -> None:
        for claim in self.claim(worker, batch_id, lane):
            self.settle(worker, batch_id, records_of(claim))
            self.ledger.release(worker, [(claim.shard_id, claim.epoch)])

    # --- native jobs ----------------------------------------------------------------------------------------------

    def new_job(self, claims: Sequence[Claim], job_id: str = "job_1", **changes: Any) -> Job:
        job = Job(
            id=job_id, batch_id=claims[0].batch_id, lane_id=claims[0].lane_id,
            lines=sum(claim.pending.bit_count() for claim in claims), tokens=100, bytes=1_000, created_ms=self.now,
            next_ms=self.now,
        )  # fmt: skip
        return replace(job, **changes)

    def intend(self, worker: str, claims: Sequence[Claim], job_id: str = "job_1", **changes: Any) -> Job:
        """A job that has these shards."""
        job = self.new_job(claims, job_id, **changes)
        assert self.jobs.intend(worker, job, [(claim.shard_id, claim.epoch) for claim in claims], self.now)
        return job

    def job_duty(self, worker: str, job_id: str = "job_1") -> JobDuty:
        """The duty on that job; those of other jobs that are due are left as they are."""
        apart = [job.id for batch in self.job_batches() for job in self.jobs.jobs(batch) if job.id != job_id]
        (duty,) = self.jobs.take_jobs(worker, self.now, 1, apart)
        assert duty.job.id == job_id
        return duty

    def job_batches(self) -> list[str]:
        page = self.catalog.batches(TENANT, after=None, limit=100)
        return [] if page is None else [batch.id for batch in page.rows]

    def note(self, worker: str, duty: JobDuty, event: JobEvent | None = None, **changes: Any) -> Job:
        """Due again at once, unless told otherwise."""
        return self.jobs.note_job(worker, duty, event, JobNote(**{"next_ms": self.now, **changes}), self.now)

    def sent(
        self, worker: str, lines: Sequence[int] = (4,), job_id: str = "job_1", batch_id: str = "b1", **changes: Any
    ) -> JobDuty:
        """A batch whose every line is in one job that its provider has; the duty of its next step."""
        self.running(batch_id, lines, (CHEAP,), worker, **changes)
        self.intend(worker, self.claim(worker, batch_id, CHEAP), job_id)
        self.note(worker, self.job_duty(worker, job_id), JobEvent.CREATE, ext_id=f"theirs of {job_id}")
        return self.job_duty(worker, job_id)

    def job(self, job_id: str = "job_1", batch_id: str = "b1") -> Job:
        (job,) = (job for job in self.jobs.jobs(batch_id) if job.id == job_id)
        return job

    def results(self, shard: JobShard, duty: JobDuty, outcome: Outcome = Outcome.SUCCEEDED) -> list[Record]:
        """An outcome for every member of a job's shard, done or not."""
        return [job_record(shard, duty.lane.id, place, outcome) for place in bitmap.members(shard.members)]

    # --- closing --------------------------------------------------------------------------------------------------

    def closed(self, worker: str, batch_id: str, event: BatchEvent) -> Duty:
        """Begin to close the batch by `event`; the duty, still held."""
        if event is BatchEvent.CANCEL:
            self.catalog.cancel_batch(TENANT, batch_id, self.now)
        else:
            assert self.ledger.close(worker, self.duty(worker, batch_id), event, self.now)
        return self.duty(worker, batch_id)

    def fill_gaps(self, worker: str, duty: Duty, outcome: Outcome = Outcome.CANCELLED) -> Settled | None:
        gaps = gap_records(duty, self.ranges(duty.batch_id), outcome)
        if not gaps:
            return None
        return self.settle(worker, duty.batch_id, gaps, duty_epoch=duty.duty_epoch)

    def files_for(self, batch_id: str) -> tuple[File | None, File | None]:
        """The output and error file of a batch, None where one would be empty."""
        ranges = self.ranges(batch_id)
        batch, made = self.batch(batch_id), []
        for role, size in (
            (FileRole.OUTPUT, sum(home.output_bytes for home in ranges)),
            (FileRole.ERROR, sum(home.error_bytes for home in ranges)),
        ):
            file = File(
                id=f"{batch_id}.{role}", tenant_id=batch.tenant_id, role=role, purpose="batch_output",
                filename=f"{role}.jsonl", bytes=size, created_ms=self.now, batch_id=batch_id,
            )  # fmt: skip
            made.append(file if size else None)
        return made[0], made[1]

    def finish(self, worker: str, duty: Duty) -> bool:
        output, error = self.files_for(duty.batch_id)
        return self.ledger.finish(worker, duty, output, error, self.now)

    def end(self, worker: str, batch_id: str, event: BatchEvent) -> Batch:
        """Close, seal, fill and finish."""
        duty = self.closed(worker, batch_id, event)
        if not duty.planned:
            assert self.ledger.plan(worker, duty, a_plan(batch_id), self.now)
            duty = self.duty(worker, batch_id)
        self.ledger.seal(worker, duty)
        self.fill_gaps(worker, duty, Outcome.EXPIRED if event is BatchEvent.EXPIRE else Outcome.CANCELLED)
        assert self.finish(worker, duty)
        return self.batch(batch_id)

    # --- folding --------------------------------------------------------------------------------------------------

    def foldable(self, limit: int = 1000) -> list[FoldWork]:
        """What may be folded now, left for others to take."""
        return self.ledger.take_folds(self.now, self.now, 1, limit)

    def folded(self, batch_id: str, range_no: int, output: str | None, error: str | None = None, at: int = 0) -> bool:
        fold = Fold(
            range_no=range_no,
            output=None if output is None else (output, at),
            error=None if error is None else (error, at),
        )
        return self.ledger.folded(batch_id, [fold])

    # --- comparing ------------------------------------------------------------------------------------------------

    def picture(self, batch_id: str) -> tuple[object, ...]:
        """All that the ports tell of a batch without changing it."""
        return (
            self.catalog.batch(TENANT, batch_id),
            tuple(self.catalog.events(batch_id, 0, 1000)),
            tuple(self.ranges(batch_id)),
            tuple(self.catalog.lane_shares(batch_id)),
            tuple(group for group in self.ledger.waiting(self.now) if group.batch_id == batch_id),
            tuple(self.ledger.segments(batch_id, range(1, 100))),
            tuple(self.foldable()),
        )
