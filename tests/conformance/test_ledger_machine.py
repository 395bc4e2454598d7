"""The machine over each store, and over broken twins that it must catch.

50 steps and few objects: with them a missing epoch check is found nearly always, with long random walks about half the
time. A machine that could not catch the twins would prove nothing about the stores.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from batchrouter.adapters.memory import MemoryStore
from batchrouter.adapters.memory.jobs import Jobs
from batchrouter.adapters.memory.presence import Presence
from batchrouter.adapters.memory.state import BatchRow, JobRow, ShardRow
from batchrouter.domain.job import Job, JobDuty
from batchrouter.domain.lifecycle import JobEvent
from batchrouter.domain.outcome import pack, unpack
from batchrouter.domain.settlement import RangeFence, ShardFence, admit
from batchrouter.domain.shard import LaneKey
from tests.conformance.conftest import STORES, open_store
from tests.conformance.job_machine import over
from tests.conformance.scene import Store

EXAMPLES = {"memory": 100, "sqlite": 12, "postgres": 6}
HEALTH = list(HealthCheck)


@pytest.mark.parametrize("kind", STORES)
def test_no_mishap_loses_or_doubles_a_line(kind: str, tmp_path: Path) -> None:
    """Lapses, stale and repeated settles, moves, cancels, closes and restarts, in any order: every line counts once,
    and a batch that ended told every line."""
    numbers = itertools.count()

    def make_store() -> Store:
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        return open_store(kind, folder)

    run_state_machine_as_test(
        over(make_store),
        settings=settings(
            max_examples=EXAMPLES[kind], stateful_step_count=50, deadline=None, suppress_health_check=HEALTH
        ),
    )


def ignore_the_epoch(patch: pytest.MonkeyPatch) -> None:
    """Whoever once held the shard may settle."""

    def lax(
        records: bytes,
        shards: dict[int, ShardFence],
        ranges: dict[int, RangeFence],
        duty_epoch: int | None,
        costs: bytes,
    ) -> object:
        trusting = [
            each._replace(epoch=shards[each.shard].epoch) if each.shard in shards else each for each in unpack(records)
        ]
        return admit(pack(trusting), shards, ranges, duty_epoch, costs)

    patch.setattr("batchrouter.adapters.memory.shards.admit", lax)


def ignore_the_done_bits(patch: pytest.MonkeyPatch) -> None:
    """A line may be answered again and again."""

    def lax(
        records: bytes,
        shards: dict[int, ShardFence],
        ranges: dict[int, RangeFence],
        duty_epoch: int | None,
        costs: bytes,
    ) -> object:
        blank = {no: RangeFence(home.first_line, home.lines, 0) for no, home in ranges.items()}
        return admit(records, shards, blank, duty_epoch, costs)

    patch.setattr("batchrouter.adapters.memory.shards.admit", lax)


def free_without_raising_the_epoch(patch: pytest.MonkeyPatch) -> None:
    """A lapsed shard goes to the next worker under the epoch that the last one still has."""

    def free(self: ShardRow) -> None:
        self.owner = None
        self.epoch -= 1  # a claim raises it again, to what it was

    patch.setattr(ShardRow, "free", free)


def seal_without_closing_the_shards(patch: pytest.MonkeyPatch) -> None:
    """Answers go on counting while the gaps are written."""
    patch.setattr(ShardRow, "shut", lambda self: None)


def overtake_under_a_new_epoch(patch: pytest.MonkeyPatch) -> None:
    """What an overtaken job still brings is worthless, though it was paid."""
    overtake = Jobs.overtake

    def lossy(self: Jobs, worker: str, duty: JobDuty, lane: LaneKey, now_ms: int) -> int:
        moved = overtake(self, worker, duty, lane, now_ms)
        for shard in self._state.batches[duty.job.batch_id].shards.values():
            shard.epoch += shard.owner == duty.job.id and not shard.open
        return moved

    patch.setattr(Jobs, "overtake", lossy)


def overtake_and_keep_the_lines(patch: pytest.MonkeyPatch) -> None:
    """They wait in the other lane, and the job has them too."""
    overtake = Jobs.overtake

    def greedy(self: Jobs, worker: str, duty: JobDuty, lane: LaneKey, now_ms: int) -> int:
        moved = overtake(self, worker, duty, lane, now_ms)
        for shard in self._state.batches[duty.job.batch_id].shards.values():
            shard.open |= shard.owner == duty.job.id
        return moved

    patch.setattr(Jobs, "overtake", greedy)


def end_a_job_and_drop_its_lines(patch: pytest.MonkeyPatch) -> None:
    """They are in no shard any more: their batch waits for them until its window is over."""

    def drop(self: Jobs, row: JobRow, batch: BatchRow, lane: LaneKey) -> int:
        return sum(batch.pending(shard).bit_count() for shard in self._shards_of(row, batch) if shard.open)

    patch.setattr(Jobs, "_move_on", drop)


def end_a_job_under_its_epoch(patch: pytest.MonkeyPatch) -> None:
    """Its results go on counting while its lines run elsewhere."""
    end_job = Jobs.end_job

    def open_ended(
        self: Jobs, worker: str, duty: JobDuty, event: JobEvent, to: LaneKey, reason: str | None, now_ms: int
    ) -> int:
        row = self._state.jobs[duty.job.id]
        had = self._shards_of(row, self._state.batches[duty.job.batch_id])
        moved = end_job(self, worker, duty, event, to, reason, now_ms)
        for shard in had:
            shard.epoch -= 1
        return moved

    patch.setattr(Jobs, "end_job", open_ended)


def intend_under_the_workers_epoch(patch: pytest.MonkeyPatch) -> None:
    """The worker that made the job still answers for its lines."""
    intend = Jobs.intend

    def same(self: Jobs, worker: str, job: Job, shards: Sequence[tuple[int, int]], now_ms: int) -> bool:
        made = intend(self, worker, job, shards, now_ms)
        for shard_id, epoch in shards if made else ():
            self._state.batches[job.batch_id].shards[shard_id].epoch = epoch
        return made

    patch.setattr(Jobs, "intend", same)


def restart_and_free_the_shards_of_jobs(patch: pytest.MonkeyPatch) -> None:
    """A job that its provider runs looks like a worker that is gone: its lines run a second time."""
    holders = Presence._holders
    patch.setattr(Presence, "_holders", lambda self: holders(self) | self._state.jobs.keys())


def seal_only_what_is_open(patch: pytest.MonkeyPatch) -> None:
    """Of an overtaken job late results count beside the gaps."""
    shut = ShardRow.shut
    patch.setattr(ShardRow, "shut", lambda self: shut(self) if self.open else None)


TWINS: Sequence[Callable[[pytest.MonkeyPatch], None]] = (
    ignore_the_epoch,
    ignore_the_done_bits,
    free_without_raising_the_epoch,
    seal_without_closing_the_shards,
    overtake_under_a_new_epoch,
    overtake_and_keep_the_lines,
    end_a_job_and_drop_its_lines,
    end_a_job_under_its_epoch,
    intend_under_the_workers_epoch,
    restart_and_free_the_shards_of_jobs,
    seal_only_what_is_open,
)


@pytest.mark.parametrize("breaking", TWINS, ids=lambda breaking: breaking.__name__)
def test_the_machine_catches_a_broken_store(breaking: Callable[[pytest.MonkeyPatch], None]) -> None:
    """Each twin lacks one defence, and is found out."""
    with pytest.MonkeyPatch.context() as patch:
        breaking(patch)
        with pytest.raises(AssertionError):
            run_state_machine_as_test(
                over(MemoryStore),
                settings=settings(
                    max_examples=2_000,  # it stops at the first that finds the fault
                    stateful_step_count=50,
                    deadline=None,
                    database=None,
                    phases=[Phase.generate],
                    report_multiple_bugs=False,
                    suppress_health_check=HEALTH,
                ),
            )
