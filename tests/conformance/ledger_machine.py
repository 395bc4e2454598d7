"""A machine that plays workers, people and accidents against a `Ledger`, and knows what must hold all the same.

Few objects, so that they meet: two batches of three ranges of three lines, two lanes, three workers. Rules are named
for the dangers they bring about. Each worker keeps what it was ever told (claims and duties, stale ones too) and may
use any of it again. The machine admits nothing itself: it only remembers which lines it was told had counted.

A run begins with work in hand and rules pick from what there is, because a walk that must first find its way to a
claim seldom gets to anything that can go wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from batchrouter.domain import bitmap
from batchrouter.domain.lifecycle import BATCH, BATCH_FINAL, BatchEvent, BatchState
from batchrouter.domain.outcome import Outcome, Record, unpack
from batchrouter.domain.shard import Claim, Duty, Move, SegmentDraft
from batchrouter.errors import StaleLease, StoreError
from tests.conformance.scene import (
    FAST,
    REFUSAL,
    SLOW,
    TENANT,
    Scene,
    Store,
    a_plan,
    draft_of,
    gap_records,
    record,
)

LEASE_MS = 1_000
WINDOW_MS = 20_000
LINES = (3, 3, 3)
LANES = (FAST, SLOW)

batch_ids = st.sampled_from(["b1", "b2"])
workers = st.sampled_from([0, 1, 2])
lanes = st.sampled_from(LANES)
members = st.integers(1, 7)
picks = st.integers(0, 2**16)
rarely = st.integers(0, 7).map(lambda number: number == 5)  # or nothing would run long enough to go wrong
outcomes = st.sampled_from([Outcome.SUCCEEDED, Outcome.FAILED])


class LedgerMachine(RuleBasedStateMachine):
    """`make_store` is set by each test."""

    make_store: Callable[[], Store]

    def __init__(self) -> None:
        super().__init__()
        self.store = type(self).make_store()
        self.scene = Scene(self.store)
        self.ledger = self.scene.ledger
        self.names: list[str] = []
        self.claims: dict[str, list[Claim]] = {}
        self.duties: dict[str, list[Duty]] = {}
        self.drafts: list[tuple[str, SegmentDraft]] = []
        self.admitted: dict[str, dict[int, Record]] = {"b1": {}, "b2": {}}
        self.done: dict[tuple[str, int], int] = {}
        self.states: dict[str, BatchState] = {}
        self.sealed: set[str] = set()
        self.born = 0

    def teardown(self) -> None:
        self.store.close()

    # --- workers --------------------------------------------------------------------------------------------------

    @initialize(both=st.booleans())
    def begin(self, both: bool) -> None:
        for batch_id in self.admitted:
            self.scene.create(batch_id, expires_ms=self.scene.now + WINDOW_MS)
            self.states[batch_id] = BatchState.VALIDATING
        for _ in range(3):
            self._enlist(alone=False)
        for duty in self.ledger.take_duties("w1", self.scene.now, 2 if both else 1):
            self._step("w1", duty)
        for name, lane in (("w1", FAST), ("w2", SLOW)):
            self.claims[name] += self.scene.claim(name, "b1", lane, 2)

    def _enlist(self, *, alone: bool) -> str:
        self.born += 1
        name = f"w{self.born}"
        self.ledger.enlist(name, self.scene.now, LEASE_MS, alone=alone)
        self.names.append(name)
        self.claims[name], self.duties[name] = [], []
        return name

    @rule(who=workers)
    def beat(self, who: int) -> None:
        """A worker that hears that it is out comes back as a new incarnation; the old one's hands are not emptied."""
        name = self.names[who]
        if not self.ledger.beat(name, self.scene.now, LEASE_MS, []).alive:
            self._replace(who)

    def _replace(self, who: int) -> None:
        self._enlist(alone=False)
        self.names[who] = self.names.pop()

    @rule(who=workers)
    def resign(self, who: int) -> None:
        self.ledger.resign(self.names[who])
        self._replace(who)

    @rule(who=workers)
    def let_every_lease_lapse(self, who: int) -> None:
        """All but one worker pause for too long; the one that is left beats and frees what they held."""
        self.scene.now += LEASE_MS + 1
        self.scene.reap(self.names[who])

    @rule()
    def restart_alone(self) -> None:
        """A new process that knows that every other is dead."""
        self._enlist(alone=True)
        self.names.pop(0)

    # --- shards ---------------------------------------------------------------------------------------------------

    @rule(who=workers, pick=picks, count=st.integers(1, 3))
    def claim(self, who: int, pick: int, count: int) -> None:
        self.beat(who)
        groups = self.ledger.waiting(self.scene.now)
        if groups:
            group = groups[pick % len(groups)]
            self._claim(self.names[who], group.lane_id, group.batch_id, count)

    def _claim(self, name: str, lane_id: int, batch_id: str, count: int) -> None:
        with suppress(StaleLease):
            got = self.ledger.claim(name, lane_id, batch_id, count, self.scene.now)
            assert all(claim.pending for claim in got), "a shard with nothing to do was given out"
            assert not (got and batch_id in self.sealed), "a sealed batch gave out a shard"
            self.claims[name] += got

    def _told(self, pick: int) -> tuple[str, Claim] | None:
        """Any claim that any incarnation was ever told."""
        told = [(name, claim) for name, claims in self.claims.items() for claim in claims]
        return told[pick % len(told)] if told else None

    def _pick(self, pick: int, source: dict[str, list[Claim]]) -> tuple[str, Claim] | None:
        """The newest claim of some worker alive."""
        alive = [name for name in self.names if source[name]]
        if not alive:
            return None
        name = alive[pick % len(alive)]
        return name, source[name][-1 - (pick // 7) % min(3, len(source[name]))]

    @rule(pick=picks, outcome=outcomes, bits=members)
    def worker_settles(self, pick: int, outcome: Outcome, bits: int) -> None:
        found = self._pick(pick, self.claims)
        if found is not None:
            name, claim = found
            self._settle(name, claim.batch_id, self._records(claim, bits, outcome))

    @rule(who=workers, batch_id=batch_ids)
    def worker_answers_all_that_waits(self, who: int, batch_id: str) -> None:
        self.beat(who)
        name, had = self.names[who], len(self.claims[self.names[who]])
        for lane in LANES:
            self._claim(name, self.scene.lane_id(lane), batch_id, 9)
        for claim in self.claims[name][had:]:
            self._settle(name, batch_id, self._records(claim, claim.pending, Outcome.SUCCEEDED))
        self.ledger.release(name, [(claim.shard_id, claim.epoch) for claim in self.claims[name][had:]])

    @rule(pick=picks, outcome=outcomes, bits=members)
    def stale_worker_settles(self, pick: int, outcome: Outcome, bits: int) -> None:
        found = self._told(pick)
        if found is not None:
            name, claim = found
            self._settle(name, claim.batch_id, self._records(claim, bits, outcome))

    @rule(pick=picks)
    def worker_settles_twice(self, pick: int) -> None:
        """A segment whose answer got lost is sent again, perhaps much later."""
        if self.drafts:
            name, draft = self.drafts[pick % len(self.drafts)]
            self._apply(name, draft)

    @rule(pick=picks, bits=members)
    def two_workers_answer_one_line(self, pick: int, bits: int) -> None:
        """The shard goes to another worker while the first still has its answers: only one of the two may count."""
        found = self._pick(pick, self.claims)
        if found is None:
            return
        name, claim = found
        other = next(each for each in self.names if each != name)
        self.scene.now += LEASE_MS + 1
        self.scene.reap(other)
        for lane in LANES:
            self._claim(other, self.scene.lane_id(lane), claim.batch_id, 3)
        owned = [each for each in self.claims[other] if each.shard_id == claim.shard_id and each.epoch > claim.epoch]
        before = self._done_of(claim)
        self._settle(name, claim.batch_id, self._records(claim, bits, Outcome.FAILED))
        if owned:
            assert self._done_of(claim) == before, "a worker whose shard had gone to another still settled"
            self._settle(other, claim.batch_id, self._records(owned[-1], bits, Outcome.SUCCEEDED))

    @rule(pick=picks)
    def release(self, pick: int) -> None:
        found = self._pick(pick, self.claims)
        if found is not None:
            name, claim = found
            self.ledger.release(name, [(claim.shard_id, claim.epoch)])

    @rule(pick=picks, lane=lanes, bits=members, stale=st.booleans())
    def move_between_lanes(self, pick: int, lane: object, bits: int, stale: bool) -> None:
        found = self._told(pick) if stale else self._pick(pick, self.claims)
        if found is None:
            return
        name, claim = found
        asked = Move(shard_id=claim.shard_id, epoch=claim.epoch, members=bits, lane=lane)  # type: ignore[arg-type]
        with suppress(StaleLease):
            (rest,) = self.ledger.move(name, [asked], self.scene.now)
            assert rest.epoch > claim.epoch
            assert not rest.pending & bits
            assert claim.batch_id not in self.sealed, "lines of a sealed batch moved"
            self.claims[name].append(rest)

    # --- people ---------------------------------------------------------------------------------------------------

    @rule(batch_id=batch_ids, sure=rarely)
    def cancel(self, batch_id: str, sure: bool) -> None:
        if sure:
            self.scene.catalog.cancel_batch(TENANT, batch_id, self.scene.now)

    # --- duties ---------------------------------------------------------------------------------------------------

    @rule(who=workers)
    def take_duties(self, who: int) -> None:
        name = self.names[who]
        with suppress(StaleLease):
            self.duties[name] += self.ledger.take_duties(name, self.scene.now, 10)

    @rule(pick=picks, stale=st.booleans())
    def step_a_duty(self, pick: int, stale: bool) -> None:
        """One step of one batch under a duty that was taken some time ago, held or lost."""
        names = list(self.duties) if stale else self.names
        held = [(name, duty) for name in names for duty in self.duties[name][-6:]]
        if held:
            with suppress(StaleLease):
                self._step(*held[-1 - pick % len(held)])

    @rule(who=workers, batch_id=batch_ids)
    def step_at_once(self, who: int, batch_id: str) -> None:
        self.beat(who)
        name = self.names[who]
        with suppress(StaleLease):
            for duty in self.ledger.take_duties(name, self.scene.now, 10):
                self.duties[name].append(duty)
                if duty.batch_id == batch_id:
                    self._step(name, duty)

    def _step(self, name: str, duty: Duty) -> None:
        """What the duty was taken for, as it looked then."""
        now, batch_id = self.scene.now, duty.batch_id
        if duty.state is BatchState.VALIDATING or (duty.state is BatchState.CANCELLING and not duty.planned):
            unreadable = duty.state is BatchState.CANCELLING and duty.duty_epoch % 3 == 0
            self.ledger.plan(name, duty, REFUSAL if unreadable else a_plan(batch_id, LINES, LANES), now)
        elif duty.state is BatchState.IN_PROGRESS:
            event = BatchEvent.COMPLETE if duty.done == duty.total else BatchEvent.EXPIRE
            self.ledger.close(name, duty, event, now)
        else:
            self._seal_and_write_gaps(name, duty)

    def _seal_and_write_gaps(self, name: str, duty: Duty) -> None:
        self.ledger.seal(name, duty)
        self.sealed.add(duty.batch_id)
        outcome = Outcome.EXPIRED if duty.closing is BatchEvent.EXPIRE else Outcome.CANCELLED
        gaps = gap_records(duty, self.scene.ranges(duty.batch_id), outcome)
        if gaps:
            self._settle(name, duty.batch_id, gaps, duty_epoch=duty.duty_epoch)
        with suppress(StoreError):
            self.scene.finish(name, duty)

    @rule(batch_id=batch_ids, pick=picks, bits=members)
    def close_while_flushing(self, batch_id: str, pick: int, bits: int) -> None:
        """A worker's answers arrive between the close, the seal and the gaps of another."""
        found = self._pick(pick, self.claims)
        if found is None or found[1].batch_id != batch_id:
            return
        name, claim = found
        self.beat(pick % 3)
        closer = self.names[pick % 3]
        with suppress(StaleLease):
            for duty in self.ledger.take_duties(closer, self.scene.now, 10):
                self.duties[closer].append(duty)
                if duty.batch_id != batch_id or duty.state is BatchState.VALIDATING:
                    continue
                if duty.state is BatchState.IN_PROGRESS:
                    self._step(closer, duty)
                self._settle(name, batch_id, self._records(claim, bits, Outcome.SUCCEEDED))
                if self.scene.state(batch_id) in (BatchState.FINALIZING, BatchState.CANCELLING) and duty.planned:
                    self.ledger.seal(closer, duty)
                    self.sealed.add(batch_id)
                    self._settle(name, batch_id, self._records(claim, 7 & ~bits, Outcome.SUCCEEDED))

    @rule(sure=rarely)
    def window_passes(self, sure: bool) -> None:
        if sure:
            self.scene.now += WINDOW_MS

    # --- what every settle must respect ---------------------------------------------------------------------------

    def _records(self, claim: Claim, bits: int, outcome: Outcome) -> list[Record]:
        return [record(claim, place, outcome) for place in bitmap.members(bits)]

    def _settle(self, name: str, batch_id: str, records: list[Record], duty_epoch: int | None = None) -> None:
        draft = draft_of(batch_id, records, duty_epoch=duty_epoch)
        self.drafts.append((name, draft))
        self._apply(name, draft)

    def _apply(self, name: str, draft: SegmentDraft) -> None:
        told = self.ledger.settle(name, draft, self.scene.now)
        known = self.admitted[draft.batch_id]
        assert (told.seq is None) == (told.admitted == 0)
        for place, each in enumerate(unpack(draft.records)):
            if not told.admitted >> place & 1:
                continue
            assert each.line not in known, f"line {each.line} of {draft.batch_id} was admitted twice"
            gap = each.shard == 0
            assert gap == (draft.batch_id in self.sealed), "an answer counted after the seal, or a gap before it"
            known[each.line] = each

    def _done_of(self, claim: Claim) -> int:
        return self.scene.ranges(claim.batch_id)[claim.range_no].done

    # --- what always holds ----------------------------------------------------------------------------------------

    @invariant()
    def every_line_counts_once_and_all_numbers_agree(self) -> None:
        for batch_id, known in self.admitted.items():
            if batch_id not in self.states:
                return
            batch, ranges = self.scene.batch(batch_id), self.scene.ranges(batch_id)
            done = {home.first_line + place for home in ranges for place in bitmap.members(home.done)}
            assert done == known.keys(), "the done bits are not the admitted lines"
            for home in ranges:
                before = self.done.get((batch_id, home.range_no), 0)
                assert before & ~home.done == 0, "a done bit was cleared"
                self.done[batch_id, home.range_no] = home.done
            by_outcome = [each.outcome for each in known.values()]
            assert batch.completed == by_outcome.count(Outcome.SUCCEEDED)
            assert batch.failed == by_outcome.count(Outcome.FAILED)
            assert batch.tokens.input == sum(each.tokens_in for each in known.values())
            assert sum(home.output_bytes for home in ranges) == _bytes(known, output=True)
            assert sum(home.error_bytes for home in ranges) == _bytes(known, output=False)
            stored = self.ledger.segments(batch_id, range(1, 200))
            assert [ref.seq for ref in stored] == list(range(1, len(stored) + 1)), "a number was skipped"
            assert sum(ref.admitted.bit_count() for ref in stored) == len(known)

    @invariant()
    def a_line_waits_in_one_place(self) -> None:
        """Every line of a running batch is pending in exactly one open shard or done: the lanes' sums say so, because a
        line that was in two would be counted twice."""
        for batch_id in self.states:
            shares = self.scene.catalog.lane_shares(batch_id)
            waiting = sum(share.waiting + share.in_job + share.in_flight + share.retrying for share in shares)
            batch = self.scene.batch(batch_id)
            if batch_id in self.sealed:
                assert waiting == 0
            elif batch.state is BatchState.IN_PROGRESS:
                assert waiting + len(self.admitted[batch_id]) == batch.total
            else:  # a job that ends then leaves its lines to the gaps
                assert waiting + len(self.admitted[batch_id]) <= batch.total

    @invariant()
    def states_follow_the_table(self) -> None:
        for batch_id, before in self.states.items():
            types = [event.type.removeprefix("batch.") for event in self.scene.catalog.events(batch_id, 0, 99)]
            path = [BatchState(each) for each in types]
            assert path[0] is BatchState.VALIDATING
            assert all(later in BATCH[early].values() for early, later in pairwise(path))
            after = self.scene.state(batch_id)
            assert path[-1] is after
            assert before in path
            self.states[batch_id] = after

    @invariant()
    def a_final_batch_has_told_every_line(self) -> None:
        for batch_id, state in self.states.items():
            if state in BATCH_FINAL and state is not BatchState.FAILED:
                batch, known = self.scene.batch(batch_id), self.admitted[batch_id]
                assert len(known) == batch.total
                assert all(home.done == bitmap.full(home.lines) for home in self.scene.ranges(batch_id))


def _bytes(known: dict[int, Record], *, output: bool) -> int:
    return sum(each.length for each in known.values() if (each.outcome == Outcome.SUCCEEDED) is output)
