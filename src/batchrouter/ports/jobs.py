"""The engine's side of the store for native batch jobs. As in `ports.ledger`: every verb is one transaction, a caller
that was overtaken gets `StaleLease` and nothing changes, times are unix milliseconds, calls may block on a disk."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from batchrouter.domain.job import Enqueued, Job, JobDuty, JobNote, JobShard
from batchrouter.domain.lifecycle import JobEvent
from batchrouter.domain.shard import LaneKey


class JobLedger(Protocol):
    def intend(self, worker: str, job: Job, shards: Sequence[tuple[int, int]], now_ms: int) -> bool:
        """Write a new job down and hand it these (shard, epoch) pairs, which the worker holds: their owner is the job
        from here on, under a raised epoch that stands until the job ends. No lapsed worker and no restart frees them.
        False: the batch is no longer `in_progress`, or is paused; the shards are left as they were. Raises `StaleLease`
        when one of them is not the worker's, or not of the job's batch and lane; `StoreError` for a job that exists."""
        ...

    def take_jobs(self, worker: str, now_ms: int, limit: int, apart: Collection[str] = ()) -> list[JobDuty]:
        """Jobs that are not `collected` and whose `next_ms` has come, whose duty is free or already this worker's, by
        `next_ms`, each taken under a new duty epoch. A batch that begins to close or ends makes its jobs due at once,
        in that same transaction. Those `apart` are left as they are. The duties of a lapsed worker are freed with its
        shards. Raises `StaleLease` if the worker's own lease has lapsed."""
        ...

    def note_job(self, worker: str, duty: JobDuty, event: JobEvent | None, note: JobNote, now_ms: int) -> Job:
        """Write down what a step learnt, and CREATE or CANCEL by the table; frees the duty, except for a note without
        an event and with `sent_ms` (the step goes on: it may send now). Raises `StaleLease` when the duty is no longer
        the worker's, `StoreError` for COLLECT and ABANDON. The times of states (`submitted_ms`, `cancelling_ms`) are
        set here. When the batch went on to another state since the duty was taken, the job is due at once, whatever
        the note says: its step did not know of that. `data` replaces what was kept."""
        ...

    def overtake(self, worker: str, duty: JobDuty, lane: LaneKey, now_ms: int) -> int:
        """The job's pending lines go to free shards of `lane` although the job has not ended; returns how many, and
        adds them to the job's `twice`. Its own shards are closed but keep epoch and members, so that a late result
        still counts where the done bit is clear. The duty is kept. A repeat moves nothing. Nothing is moved or closed
        when the batch is no longer `in_progress`. Each range's lines go together."""
        ...

    def end_job(self, worker: str, duty: JobDuty, event: JobEvent, to: LaneKey, reason: str | None, now_ms: int) -> int:
        """COLLECT or ABANDON: the job is `collected`. Members of its open shards that are not done go to a free shard
        of the lane `to` (the same lane too), each range's together; returns how many. All its shards are closed under a
        raised epoch: nothing of it counts any more. Frees the duty for good. Of a batch that is closing or final the
        shards are only closed. `reason` None leaves the one that was noted. Raises `StaleLease` when the duty is no
        longer the worker's, `StoreError` for CREATE and CANCEL."""
        ...

    def job_shards(self, job_id: str) -> list[JobShard]:
        """By range, with the done bits of this moment; empty for a job that is `collected` or whose batch is sealed."""
        ...

    def enqueued(self, lane_id: int) -> Enqueued:
        """What is under way in the lane, over all batches and workers: a job counts from `intend` to `end_job`."""
        ...

    def jobs(self, batch_id: str) -> list[Job]:
        """Every job of the batch, oldest first; empty once the batch's rows are gone."""
        ...
