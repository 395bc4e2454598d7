"""Native jobs in memory: who steps them, which shards they have, and what becomes of those."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from batchrouter.adapters.memory.state import BatchRow, JobRow, Part, ShardRow, atomic
from batchrouter.domain.job import Enqueued, Job, JobDuty, JobNote, JobShard
from batchrouter.domain.lifecycle import BatchState, JobEvent, job_step
from batchrouter.domain.shard import LaneKey
from batchrouter.errors import StaleLease, StoreError

_TIMES = {JobEvent.CREATE: "submitted_ms", JobEvent.CANCEL: "cancelling_ms"}
_NOTED = ("sent_ms", "ext_id", "completed", "failed", "polls", "tries", "reason")


class Jobs(Part):
    __slots__ = ()

    @atomic
    def intend(self, worker: str, job: Job, shards: Sequence[tuple[int, int]], now_ms: int) -> bool:
        row = self._state.batches.get(job.batch_id)
        if row is None or not row.sends:
            return False
        handed = []
        for shard_id, epoch in shards:
            shard = row.shards.get(shard_id)
            if (
                shard is None
                or not shard.open
                or (shard.owner, shard.epoch, shard.lane_id) != (worker, epoch, job.lane_id)
            ):
                raise StaleLease(f"shard {shard_id} is no longer {worker}'s under epoch {epoch}")
            handed.append(shard)
        if job.id in self._state.jobs:
            raise StoreError(f"a job {job.id} exists")
        self._state.jobs[job.id] = JobRow(replace(job, data=dict(job.data)))
        for shard in handed:
            shard.owner = job.id
            shard.epoch += 1
        return True

    @atomic
    def take_jobs(self, worker: str, now_ms: int, limit: int, apart: Collection[str] = ()) -> list[JobDuty]:
        self._state.require_lease(worker, now_ms)
        due = [
            row
            for row in self._state.jobs.values()
            if row.open and row.job.next_ms <= now_ms and row.duty_owner in (None, worker) and row.job.id not in apart
        ]
        due = sorted(due, key=lambda row: row.job.next_ms)[:limit]
        for row in due:
            row.duty_owner = worker
            row.duty_epoch += 1
        return [self._told_duty(row) for row in due]

    @atomic
    def note_job(self, worker: str, duty: JobDuty, event: JobEvent | None, note: JobNote, now_ms: int) -> Job:
        row, batch = self._stepped(worker, duty)
        changes: dict[str, Any] = {name: getattr(note, name) for name in _NOTED if getattr(note, name) is not None}
        if note.data is not None:
            changes["data"] = dict(note.data)
        if event is not None:
            if event not in _TIMES:
                raise StoreError(f"a job ends by `end_job`, not by a note of '{event}'")
            changes |= {"state": job_step(row.job.state, event), _TIMES[event]: now_ms}
        # A step that began before its batch began to close knows nothing of that, and must not put off the next.
        heard = batch.batch.state is duty.batch_state
        changes["next_ms"] = note.next_ms if heard else min(note.next_ms, now_ms)
        row.job = replace(row.job, **changes)
        if event is not None or note.sent_ms is None:
            row.free_duty()
        return row.told()

    @atomic
    def overtake(self, worker: str, duty: JobDuty, lane: LaneKey, now_ms: int) -> int:
        row, batch = self._stepped(worker, duty)
        if batch.batch.state is not BatchState.IN_PROGRESS:
            return 0
        moved = self._move_on(row, batch, lane)
        for shard in self._shards_of(row, batch):
            shard.open = False
        row.job = replace(row.job, twice=row.job.twice + moved)
        return moved

    @atomic
    def end_job(self, worker: str, duty: JobDuty, event: JobEvent, to: LaneKey, reason: str | None, now_ms: int) -> int:
        row, batch = self._stepped(worker, duty)
        if event in _TIMES:
            raise StoreError(f"a job is ended by '{JobEvent.COLLECT}' or '{JobEvent.ABANDON}', not by '{event}'")
        state = job_step(row.job.state, event)
        moved = self._move_on(row, batch, to) if batch.batch.state is BatchState.IN_PROGRESS else 0
        for shard in self._shards_of(row, batch):
            shard.shut()
        row.job = replace(row.job, state=state, ended_ms=now_ms, reason=row.job.reason if reason is None else reason)
        row.free_duty()
        return moved

    @atomic
    def job_shards(self, job_id: str) -> list[JobShard]:
        row = self._state.jobs.get(job_id)
        if row is None:
            return []
        batch = self._state.batches[row.job.batch_id]
        return [_told(batch, shard) for shard in self._shards_of(row, batch)]

    @atomic
    def enqueued(self, lane_id: int) -> Enqueued:
        found = [row.job for row in self._state.jobs.values() if row.open and row.job.lane_id == lane_id]
        return Enqueued(len(found), sum(job.lines for job in found), sum(job.tokens for job in found))

    @atomic
    def jobs(self, batch_id: str) -> list[Job]:
        return [row.told() for row in self._state.jobs.values() if row.job.batch_id == batch_id]

    def _stepped(self, worker: str, duty: JobDuty) -> tuple[JobRow, BatchRow]:
        row = self._state.jobs.get(duty.job.id)
        if row is None or row.duty_owner != worker or row.duty_epoch != duty.duty_epoch:
            raise StaleLease(f"the duty on job {duty.job.id} is no longer {worker}'s")
        return row, self._state.batches[row.job.batch_id]

    def _shards_of(self, row: JobRow, batch: BatchRow) -> list[ShardRow]:
        return [shard for shard in batch.shard_rows() if shard.owner == row.job.id]

    def _move_on(self, row: JobRow, batch: BatchRow, lane: LaneKey) -> int:
        """The pending lines of the job's open shards, each range's in one free shard of the lane."""
        leaving: dict[int, int] = {}
        for shard in self._shards_of(row, batch):
            if shard.open and batch.pending(shard):
                leaving[shard.range_no] = leaving.get(shard.range_no, 0) | batch.pending(shard)
        for range_no, members in leaving.items():
            self._state.add_shard(batch, range_no, self._state.lane_of(lane).id, members)
        return sum(members.bit_count() for members in leaving.values())

    def _told_duty(self, row: JobRow) -> JobDuty:
        batch = self._state.batches[row.job.batch_id]
        return JobDuty(
            job=row.told(),
            duty_epoch=row.duty_epoch,
            lane=self._state.lanes[row.job.lane_id],
            tenant_id=batch.batch.tenant_id,
            batch_state=batch.batch.state,
            closing=batch.batch.closing,
            sealed=batch.sealed,
            endpoint=batch.batch.endpoint,
            deadline_ms=batch.batch.expires_ms,
            pending=max(0, batch.batch.total - batch.done - batch.followers),
            input_blob_key=batch.input_blob_key or "",
            input_index_key=batch.input_index_key or "",
            paused=batch.batch.paused_ms is not None,
            retry=batch.new.retry,
        )


def _told(batch: BatchRow, shard: ShardRow) -> JobShard:
    home = batch.ranges[shard.range_no].range
    return JobShard(
        shard_id=shard.id,
        epoch=shard.epoch,
        range_no=shard.range_no,
        first_line=home.first_line,
        lines=home.lines,
        members=shard.members,
        done=home.done,
        open=shard.open,
    )
