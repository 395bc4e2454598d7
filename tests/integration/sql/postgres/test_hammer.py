"""Several workers at once on a few batches, in any order: at the end every line was counted once."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable
from itertools import count

import pytest

from batchrouter.domain import bitmap
from batchrouter.domain.job import Job, JobDuty, JobNote
from batchrouter.domain.lifecycle import BATCH_FINAL, JOB, BatchEvent, BatchState, JobEvent
from batchrouter.domain.outcome import Outcome
from batchrouter.domain.shard import Claim, Move
from batchrouter.errors import StaleLease
from tests.conformance.scene import CHEAP, FAST, SLOW, TENANT, Scene, draft_of, job_record, record
from tests.integration.sql.postgres.interloper import Pair

LANES = (FAST, SLOW, CHEAP)
WORKERS, STEPS, LINES = 4, 60, (7,) * 12
LEASE_MS = 1_000_000
BATCHES = ("b0", "b1", "b2")


class Hand:
    """One worker in its own thread. Now and then it dies, and another takes its place."""

    def __init__(self, scene: Scene, seed: int, numbers: count[int], dead: list[str]) -> None:
        self.scene = scene
        self.chance = random.Random(seed)
        self.numbers = numbers
        self.dead = dead
        self.stale: Counter[str] = Counter()
        self.error: BaseException | None = None
        self.enlist()

    def enlist(self) -> None:
        self.name = f"w{next(self.numbers)}"
        self.claims: list[Claim] = []
        self.scene.ledger.enlist(self.name, self.scene.now, LEASE_MS, alone=False)

    def run(self) -> None:
        verbs: list[Callable[[], None]] = [
            self.claim, self.claim, self.settle, self.settle, self.settle, self.again, self.move, self.release,
            self.beat, self.duties, self.job, self.steps, self.die,
        ]  # fmt: skip
        try:
            for _ in range(STEPS):
                verb = self.chance.choice(verbs)
                try:
                    verb()
                except StaleLease:
                    self.stale[verb.__name__] += 1
        except BaseException as error:
            self.error = error

    def claim(self) -> None:
        lane = self.scene.lane_id(self.chance.choice(LANES[:2]))
        batch_id = self.chance.choice(BATCHES)
        self.claims += self.scene.ledger.claim(self.name, lane, batch_id, self.chance.choice([1, 3]), self.scene.now)

    def some(self) -> tuple[str, list[Claim]]:
        """Claims of one batch."""
        if not self.claims:
            self.claim()
        batch_id = self.chance.choice([claim.batch_id for claim in self.claims] or ["b0"])
        mine = [claim for claim in self.claims if claim.batch_id == batch_id]
        self.chance.shuffle(mine)
        return batch_id, mine[:4]

    def settle(self) -> None:
        batch_id, claims = self.some()
        records = [
            record(claim, place, self.chance.choice([Outcome.SUCCEEDED, Outcome.FAILED]))
            for claim in claims
            for place in bitmap.members(claim.pending)
            if self.chance.random() < 0.7
        ]
        self.scene.ledger.settle(self.name, draft_of(batch_id, records), self.scene.now)

    def again(self) -> None:
        """Everything it was ever told, alive or not."""
        batch_id, claims = self.some()
        records = [record(claim, place) for claim in claims for place in range(claim.lines)]
        self.scene.ledger.settle(self.name, draft_of(batch_id, records), self.scene.now)

    def move(self) -> None:
        _, claims = self.some()
        moves = [
            Move(shard_id=each.shard_id, epoch=each.epoch, members=each.pending & 0b1001, lane=SLOW) for each in claims
        ]
        told = self.scene.ledger.move(self.name, moves, self.scene.now)
        known = {each.shard_id: each for each in told}
        self.claims = [known.get(each.shard_id, each) for each in self.claims]

    def release(self) -> None:
        _, claims = self.some()
        self.scene.ledger.release(self.name, [(each.shard_id, each.epoch) for each in claims])
        self.claims = [each for each in self.claims if each not in claims]

    def beat(self) -> None:
        """And whoever died is freed."""
        if self.dead:
            self.dead.pop()
            self.scene.now += 2 * LEASE_MS
        for _ in range(2):
            if not self.scene.ledger.beat(self.name, self.scene.now, LEASE_MS, []).alive:
                self.enlist()

    def die(self) -> None:
        if self.chance.random() < 0.3:
            if self.chance.random() < 0.5:
                self.scene.ledger.resign(self.name)
            else:
                self.dead.append(self.name)
            self.enlist()

    def duties(self) -> None:
        for duty in self.scene.ledger.take_duties(self.name, self.scene.now, 2):
            ledger, now = self.scene.ledger, self.scene.now
            if duty.state is BatchState.IN_PROGRESS:
                ledger.close(self.name, duty, BatchEvent.COMPLETE, now)
                continue
            ledger.seal(self.name, duty)
            self.scene.fill_gaps(self.name, duty)
            self.scene.finish(self.name, duty)

    def job(self) -> None:
        """A native job of what is free in its lane."""
        batch_id = self.chance.choice(BATCHES)
        lane = self.scene.lane_id(CHEAP)
        claims = self.scene.ledger.claim(self.name, lane, batch_id, 3, self.scene.now)
        if claims:
            number = next(self.numbers)
            job = Job(
                id=f"job_{number}", batch_id=batch_id, lane_id=lane, lines=1, tokens=1, bytes=1,
                created_ms=self.scene.now, next_ms=self.scene.now,
            )  # fmt: skip
            self.scene.jobs.intend(self.name, job, [(each.shard_id, each.epoch) for each in claims], self.scene.now)

    def steps(self) -> None:
        for duty in self.scene.jobs.take_jobs(self.name, self.scene.now, 2):
            jobs, now, job_id = self.scene.jobs, self.scene.now, duty.job.id
            shards = jobs.job_shards(job_id)
            records = [
                job_record(shard, duty.lane.id, place)
                for shard in shards
                for place in bitmap.members(shard.members)
                if self.chance.random() < 0.5
            ]
            match self.chance.choice(["sent", "over", "end", "end"]):
                case "sent" if JobEvent.CREATE in JOB[duty.job.state]:
                    jobs.note_job(self.name, duty, JobEvent.CREATE, JobNote(next_ms=now, ext_id="x"), now)
                case "over":
                    jobs.overtake(self.name, duty, FAST, now)
                    self.scene.settle(self.name, duty.job.batch_id, records)
                case _:
                    self.scene.settle(self.name, duty.job.batch_id, records)
                    jobs.end_job(self.name, duty, end_of(duty), self.chance.choice(LANES), None, now)


def end_of(duty: JobDuty) -> JobEvent:
    return next(event for event in (JobEvent.COLLECT, JobEvent.ABANDON) if event in JOB[duty.job.state])


@pytest.mark.parametrize("seed", range(3))
def test_every_line_counts_once(pair: Pair, seed: int) -> None:
    """Claims, answers, moves, jobs, takeovers, deaths, a cancel and completions, all at once. Nothing surfaces but that
    a worker was overtaken; no line is lost, none counted twice, and no lane counts one that is done."""
    first = pair.first
    first.worker("planner", lease_ms=LEASE_MS)
    for batch_id in BATCHES:
        first.running(batch_id, LINES, LANES, "planner")
    first.ledger.resign("planner")
    numbers, dead = count(), list[str]()
    hands = [
        Hand(Scene((first, pair.other)[number % 2].store), seed * 100 + number, numbers, dead)
        for number in range(WORKERS)
    ]
    threads = [threading.Thread(target=hand.run, daemon=True) for hand in hands]
    for thread in threads:
        thread.start()
    first.catalog.cancel_batch(TENANT, "b2", first.now)
    for thread in threads:
        thread.join(120)
    for hand in hands:
        if hand.error is not None:
            raise hand.error
    assert not any(thread.is_alive() for thread in threads)
    finish_all(first, max(hand.scene.now for hand in hands))


def finish_all(scene: Scene, now: int) -> None:
    """Whoever comes last finds every line, and ends every batch."""
    scene.now = now
    worker = scene.worker("last", lease_ms=10 * LEASE_MS)
    scene.now += 3 * LEASE_MS
    for _ in range(2):
        scene.ledger.beat(worker, scene.now, 10 * LEASE_MS, [])
    for duty in scene.jobs.take_jobs(worker, scene.now, 1000):
        scene.jobs.end_job(worker, duty, end_of(duty), FAST, None, scene.now)
    for batch_id in BATCHES:
        for lane in LANES:
            if scene.state(batch_id) is BatchState.IN_PROGRESS:
                scene.answer_all(worker, batch_id, lane)
        if scene.state(batch_id) is BatchState.IN_PROGRESS:
            assert sum(share.waiting + share.in_job for share in scene.catalog.lane_shares(batch_id)) == 0
            assert scene.ledger.close(worker, scene.duty(worker, batch_id), BatchEvent.COMPLETE, scene.now)
        if scene.state(batch_id) not in BATCH_FINAL:
            duty = scene.duty(worker, batch_id)
            scene.ledger.seal(worker, duty)
            scene.fill_gaps(worker, duty)
            assert scene.finish(worker, duty)
        ended = scene.batch(batch_id)
        stored = scene.ledger.segments(batch_id, range(1, 10_000))
        assert scene.done(batch_id) == ended.total == sum(LINES)
        assert sum(ref.admitted.bit_count() for ref in stored) == ended.total
        answered = sum(share.done for share in scene.catalog.lane_shares(batch_id))
        assert answered == ended.completed + ended.failed
        assert [event.no for event in scene.catalog.events(batch_id, 0, 100)] == [1, 2, 3, 4]
    assert {scene.state(batch_id) for batch_id in BATCHES} == {BatchState.COMPLETED, BatchState.CANCELLED}
