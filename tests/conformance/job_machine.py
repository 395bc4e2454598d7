"""The ledger machine with native jobs: written down, stepped by workers that come and go, overtaken, ended; their
results arrive early, late, twice, and after everything is over. Every line costs something, known or not.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from batchrouter.domain import bitmap
from batchrouter.domain.cost import UNKNOWN
from batchrouter.domain.job import JobDuty, JobNote, JobShard
from batchrouter.domain.lifecycle import JOB, BatchState, JobEvent, JobState
from batchrouter.domain.outcome import Outcome, Record
from batchrouter.domain.shard import Claim, LaneKey, SegmentDraft
from batchrouter.errors import IllegalTransition, StaleLease
from tests.conformance.ledger_machine import (
    LANES,
    LEASE_MS,
    LedgerMachine,
    lanes,
    members,
    outcomes,
    picks,
    rarely,
    workers,
)
from tests.conformance.scene import Store, draft_of, job_record

ENDS = (JobEvent.COLLECT, JobEvent.ABANDON)


@dataclass
class Known:
    """What the machine knows of a job: the shards that it was given, as they were told at once."""

    batch_id: str
    lane_id: int
    shards: list[JobShard]
    overtaken: bool = False
    ended: bool = False

    def lines(self) -> set[int]:
        return {shard.first_line + place for shard in self.shards for place in bitmap.members(shard.members)}


class JobMachine(LedgerMachine):
    def __init__(self) -> None:
        super().__init__()
        self.jobs: dict[str, Known] = {}
        self.job_duties: dict[str, list[JobDuty]] = {}
        self.void: set[tuple[int, int]] = set()
        """(shard, epoch) by which nothing may count any more."""

    @initialize(both=st.booleans(), begun=st.booleans())
    def begin(self, both: bool, begun: bool) -> None:
        super().begin(both)
        if begun:
            self.hand_shards_to_a_job(0, both)

    # --- jobs and their duties ------------------------------------------------------------------------------------

    @rule(pick=picks, more=st.booleans())
    def hand_shards_to_a_job(self, pick: int, more: bool) -> None:
        """One shard or two that a worker was told of; stale ones too."""
        found = self._pick(pick, self.claims)
        if found is None:
            return
        name, first = found
        alike = {
            claim.shard_id: claim
            for claim in self.claims[name]
            if (claim.batch_id, claim.lane_id) == (first.batch_id, first.lane_id) and claim.shard_id != first.shard_id
        }
        claims = [first, *(list(alike.values())[-1:] if more else [])]
        job = self.scene.new_job(claims, f"job_{len(self.jobs)}")
        runs = self.scene.state(first.batch_id) is BatchState.IN_PROGRESS
        with suppress(StaleLease):
            pairs = [(claim.shard_id, claim.epoch) for claim in claims]
            assert self.scene.jobs.intend(name, job, pairs, self.scene.now) == runs
            if runs:
                self.jobs[job.id] = Known(first.batch_id, first.lane_id, self.scene.jobs.job_shards(job.id))
                self.void.update(pairs)
                assert len(self.jobs[job.id].shards) == len(claims)

    def _job_duty(self, pick: int, stale: bool) -> tuple[str, JobDuty] | None:
        """Of a job that has not ended, taken at this moment by the first worker that may have it; or any that was ever
        taken."""
        held = [(name, duty) for name, duties in self.job_duties.items() for duty in duties[-3:]]
        if stale:
            return held[-1 - pick % len(held)] if held else None
        running = [job_id for job_id, known in self.jobs.items() if not known.ended]
        for who in range(len(self.names) if running else 0):
            self.beat(who)
            name = self.names[who]
            got = self.scene.jobs.take_jobs(name, self.scene.now, 10)
            assert not any(self.jobs[duty.job.id].ended for duty in got), "a job that has ended was given out"
            self.job_duties.setdefault(name, []).extend(got)
            for duty in got:
                if duty.job.id == running[pick % len(running)]:
                    return name, duty
        assert not running, "a job that is due was given to nobody"
        return None

    @rule(pick=picks, stale=rarely, cancels=st.booleans())
    def note_a_job(self, pick: int, stale: bool, cancels: bool) -> None:
        found = self._job_duty(pick, stale)
        if found is not None:
            name, duty = found
            event = JobEvent.CREATE if duty.job.state is JobState.INTENDED else JobEvent.CANCEL if cancels else None
            with suppress(StaleLease, IllegalTransition):
                job = self.scene.jobs.note_job(name, duty, event, JobNote(next_ms=self.scene.now), self.scene.now)
                assert not self.jobs[job.id].ended, "a job that has ended was stepped"

    @rule(pick=picks, lane=lanes, stale=rarely)
    def overtake(self, pick: int, lane: LaneKey, stale: bool) -> None:
        found = self._job_duty(pick, stale)
        if found is None:
            return
        name, duty = found
        known, left = self.jobs[duty.job.id], self._left(duty.job.id)
        with suppress(StaleLease):
            moved = self.scene.jobs.overtake(name, duty, lane, self.scene.now)
            runs = self.scene.state(known.batch_id) is BatchState.IN_PROGRESS
            assert moved == (left if runs else 0)
            known.overtaken |= runs

    @rule(pick=picks, lane=lanes, stale=rarely)
    def end_a_job(self, pick: int, lane: LaneKey, stale: bool) -> None:
        found = self._job_duty(pick, stale)
        if found is None:
            return
        name, duty = found
        known, left = self.jobs[duty.job.id], self._left(duty.job.id)
        (event,) = [each for each in JOB[duty.job.state] if each in ENDS]
        with suppress(StaleLease):
            moved = self.scene.jobs.end_job(name, duty, event, lane, None, self.scene.now)
            assert moved == (left if self.scene.state(known.batch_id) is BatchState.IN_PROGRESS else 0)
            known.ended = True
            self.void.update((shard.shard_id, shard.epoch) for shard in known.shards)

    def _left(self, job_id: str) -> int:
        """Lines without an answer that only the job has."""
        shards = self.scene.jobs.job_shards(job_id)
        return sum((shard.members & ~shard.done).bit_count() for shard in shards if shard.open)

    # --- dangers --------------------------------------------------------------------------------------------------

    @rule(pick=picks, bits=members, outcome=outcomes)
    def results_arrive(self, pick: int, bits: int, outcome: Outcome) -> None:
        """By the shards as they were told when the job was made: nothing that happens to a job before its end may make
        them worthless, and nothing after it may give them worth."""
        if not self.jobs:
            return
        known = list(self.jobs.values())[-1 - pick % min(3, len(self.jobs))]
        shard = known.shards[pick % len(known.shards)]
        records = [job_record(shard, known.lane_id, place, outcome) for place in bitmap.members(bits & shard.members)]
        self._settle(self.names[pick % 3], known.batch_id, records)
        if not known.ended and known.batch_id not in self.sealed:
            told = {each.line for each in records}
            assert told <= self.admitted[known.batch_id].keys(), "a result of a job that had not ended was lost"

    @rule(pick=picks)
    def everybody_dies_while_jobs_run(self, pick: int) -> None:
        """And the next worker takes all that waits."""
        self.restart_alone()
        self._take_all(self.names[-1])

    @rule(who=workers)
    def all_pause_while_jobs_run(self, who: int) -> None:
        self.scene.now += LEASE_MS + 1
        self.beat(who)
        self.beat(who)
        self._take_all(self.names[who])

    def _take_all(self, name: str) -> None:
        for batch_id in self.admitted:
            for lane in LANES:
                self._claim(name, self.scene.lane_id(lane), batch_id, 9)

    def _claim(self, name: str, lane_id: int, batch_id: str, count: int) -> None:
        had = len(self.claims[name])
        super()._claim(name, lane_id, batch_id, count)
        taken = {line for claim in self.claims[name][had:] for line in _lines(claim)}
        for known in self.jobs.values():
            if known.batch_id == batch_id and not known.ended and not known.overtaken:
                assert not taken & known.lines(), "a line that a job has was given out as well"

    # --- what always holds ----------------------------------------------------------------------------------------

    def _settle(self, name: str, batch_id: str, records: list[Record], duty_epoch: int | None = None) -> None:
        costs = [_cost(each.line) for each in records]
        draft = draft_of(batch_id, records, duty_epoch=duty_epoch, costs=struct.pack(f"<{len(costs)}q", *costs))
        self.drafts.append((name, draft))
        self._apply(name, draft)

    def _apply(self, name: str, draft: SegmentDraft) -> None:
        known = self.admitted[draft.batch_id]
        before = set(known)
        super()._apply(name, draft)
        for line in known.keys() - before:
            assert (known[line].shard, known[line].epoch) not in self.void, "a shard counted under an epoch of before"

    @invariant()
    def costs_are_those_of_the_lines_that_counted(self) -> None:
        for batch_id, known in self.admitted.items():
            if batch_id in self.states:
                batch = self.scene.batch(batch_id)
                sent = [
                    (_cost(each.line), each.tokens_in or each.outcome == Outcome.SUCCEEDED)
                    for each in known.values()
                    if each.shard
                ]
                assert batch.cost_nano == sum(cost for cost, _ in sent if cost != UNKNOWN)
                assert batch.unpriced == sum(cost == UNKNOWN for cost, used in sent if used)
                shares = self.scene.catalog.lane_shares(batch_id)
                assert sum(share.cost_nano for share in shares) == batch.cost_nano
                assert sum(share.unpriced for share in shares) == batch.unpriced

    @invariant()
    def a_job_keeps_its_shards_to_its_end(self) -> None:
        for job_id, known in self.jobs.items():
            told = self.scene.jobs.job_shards(job_id)
            if known.ended or known.batch_id in self.sealed:
                assert told == []
            else:
                assert [(shard.shard_id, shard.epoch, shard.members, shard.open) for shard in told] == [
                    (shard.shard_id, shard.epoch, shard.members, not known.overtaken) for shard in known.shards
                ]


def _lines(claim: Claim) -> set[int]:
    return {claim.first_line + place for place in bitmap.members(claim.pending)}


def _cost(line: int) -> int:
    return UNKNOWN if line % 4 == 3 else line * 5


def over(make_store: Callable[[], Store]) -> type[JobMachine]:
    """The machine over one kind of store."""
    return type("MachineOverStore", (JobMachine,), {"make_store": staticmethod(make_store)})
