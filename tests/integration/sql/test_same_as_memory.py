"""SQL against the store in memory: the same random life, told the same at every step.

Two stores that were written apart agree on thousands of verbs only if both read the contract alike. A seed that fails
is a whole story: its last verbs are printed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from batchrouter.domain import bitmap
from batchrouter.domain.job import Job, JobDuty, JobNote, JobShard
from batchrouter.domain.lifecycle import BATCH_FINAL, JOB, BatchState, JobEvent
from batchrouter.domain.outcome import Outcome
from tests.conformance.scene import draft_of, job_record
from tests.integration.sql.life import LANES, Life

STEPS = 400


class LifeWithJobs(Life):
    """Of which a provider runs a part."""

    def __init__(self, seed: int, folder: Path, kind: str) -> None:
        self.job_homes: dict[str, str] = {}  # job → batch
        self.job_duties: list[tuple[str, JobDuty]] = []
        self.job_shards: list[tuple[str, JobShard]] = []
        super().__init__(seed, folder, kind)

    # --- native jobs ----------------------------------------------------------------------------------------------

    def intend(self) -> None:
        """A job of what one worker was just told of one batch and lane; now and then of what it has lost since."""
        if self.likely(0.7):
            self.claims.clear()
            self.claim()
        if not self.claims:
            return
        worker, first = self.chance.choice(self.claims[:3])
        alike = [
            claim
            for owner, claim in self.claims[:12]
            if (owner, claim.batch_id, claim.lane_id) == (worker, first.batch_id, first.lane_id)
        ]
        newest = {claim.shard_id: claim.epoch for claim in reversed(alike)}
        job = Job(
            id=f"job_{self.number() if self.likely(0.97) else 1}", batch_id=first.batch_id, lane_id=first.lane_id,
            lines=len(newest), tokens=self.made, bytes=9, created_ms=self.now, data={"a": "é"} if self.made % 2 else {},
            next_ms=self.now + self.chance.choice([0, 0, 700, 60_000]),
        )  # fmt: skip
        if self.jobs("intend", worker, job, list(newest.items()), self.now):
            self.job_homes[job.id] = job.batch_id

    def live_a_job(self) -> None:
        """Most of a job's life at one stretch, before its batch has gone on: by chance a job seldom gets so far."""
        worker = self.workers[-1]
        self.ledger("beat", worker, self.now, 900_000_000, [])
        self.intend()
        while self.likely(0.85):
            self.take_jobs(worker)
            self.chance.choice([self.collect, self.claim, self.settle])()

    def take_jobs(self, worker: str | None = None) -> None:
        worker = worker or self.chance.choice(self.workers)
        apart = list(self.job_homes)[-1:] if self.likely(0.1) else []
        for duty in self.jobs("take_jobs", worker, self.now, self.chance.choice([1, 3]), apart) or []:
            self.job_duties = [(worker, duty), *self.job_duties[:5]]
            while self.likely(0.6):
                self.step_job()

    def step_job(self) -> None:
        """A step of a duty that is new, as a rule, and may be over."""
        if not self.job_duties:
            return
        worker, duty = self.job_duties[0] if self.likely(0.7) else self.chance.choice(self.job_duties)
        pick = self.chance.choice
        match pick(["note", "note", "note", "overtake", "end"]):
            case "note":
                note = JobNote(
                    next_ms=self.now + pick([0, 0, 0, 700, 60_000]), sent_ms=pick([None, self.now]),
                    tries=pick([None, 2]), ext_id=pick([None, "x"]), completed=pick([None, 3]),
                    reason=pick([None, "why"]), data=pick([None, {}, {"b": "c"}]),
                )  # fmt: skip
                event = pick([None, JobEvent.CREATE, JobEvent.CREATE, JobEvent.CANCEL, pick(list(JobEvent))])
                self.jobs("note_job", worker, duty, event, note, self.now)
            case "overtake":
                self.jobs("overtake", worker, duty, pick(LANES), self.now)
            case "end":
                ends = [event for event in JOB[duty.job.state] if event in (JobEvent.COLLECT, JobEvent.ABANDON)]
                event = pick(ends or list(JobEvent)) if self.likely(0.8) else pick(list(JobEvent))
                self.jobs("end_job", worker, duty, event, pick(LANES), pick([None, "over"]), self.now)

    def look(self) -> None:
        super().look()
        for job_id in list(self.job_homes)[-6:]:
            self.jobs("job_shards", job_id)
        for lane_id in range(1, 4):
            self.jobs("enqueued", lane_id)

    def collect(self) -> None:
        """Results of a job, told now or some time ago, in part."""
        for job_id, home in list(self.job_homes.items())[-4:]:
            told = [(home, shard) for shard in self.jobs("job_shards", job_id)]
            self.job_shards = [*told, *self.job_shards[:20]]
        if self.job_shards:
            batch_id, _ = self.chance.choice(self.job_shards[:8])
            records = [
                job_record(shard, 1, place, self.chance.choice([Outcome.SUCCEEDED, Outcome.FAILED]))
                for home, shard in self.job_shards[:12]
                for place in bitmap.members(shard.members)
                if home == batch_id and self.likely(0.5)
            ]
            self.send(self.chance.choice(self.workers), draft_of(batch_id, records))

    def live(self) -> Counter[BatchState]:
        verbs: list[Callable[[], None]] = [
            self.create, self.take, self.take, self.take, self.again, self.claim, self.claim, self.claim, self.settle,
            self.settle, self.settle, self.settle, self.settle_again, self.release, self.move, self.beat, self.beat,
            self.intend, self.take_jobs, self.step_job, self.collect, self.live_a_job, self.live_a_job,
            self.enlist, self.resign, self.fold, self.fold, self.delete, self.sweep, self.cancel, self.lanes, self.look,
        ]  # fmt: skip
        for _ in range(STEPS):
            self.now += self.chance.choice([0, 1, 500, 5_000]) if self.likely(0.97) else 86_400_000
            self.chance.choice(verbs)()
        self.look()
        return Counter(self.catalog("batch", *named).state for named in self.batches if self.catalog("batch", *named))


@pytest.mark.parametrize(("kind", "seed"), [*(("sqlite", seed) for seed in range(12)), ("postgres", 106)])
def test_a_random_life_is_told_the_same(kind: str, seed: int, tmp_path: Path) -> None:
    """Every answer, every refusal and every later look agree, stale workers, repeats and retention included."""
    life = LifeWithJobs(seed, tmp_path, kind)
    states = life.live()
    life.close_stores()
    assert any(state in BATCH_FINAL for state in states), "no batch came to its end: the walk shows too little"
