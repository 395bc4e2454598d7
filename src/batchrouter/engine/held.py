"""Claimed shards in memory: which lines are still to be sent, of which batch, in which order.

Only numbers are held (place, offset, length); a line's bytes are loaded shortly before it is sent and dropped when it
has to wait, so that what a worker holds does not depend on how large lines are.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from batchrouter.domain.fair_share import QUANTUM, Turns
from batchrouter.domain.first_failures import FirstFailures
from batchrouter.domain.output_line import id_prefix
from batchrouter.domain.retry import Tries
from batchrouter.domain.retry_wish import changes_of
from batchrouter.domain.shard import Claim, LaneKey
from batchrouter.domain.spend import Spend
from batchrouter.engine.tenants import TenantRun
from batchrouter.ports.clock import Timer

_LAST = -1
"""A group of its own, for lines that were refused by a lane that needs a person."""


class BatchRun:
    """One batch as this worker sees it, over all lanes.

    `open` counts lines that are claimed and not yet handed to the journal, `waiting` those that nobody had at the last
    round of claims. `deadline_s` is monotonic. `part` is its weight within its tenant. `dropped`: the batch is closing;
    whoever still waits for something of it must let go. `spend` is there for a batch with a limit. `stuck`: what is
    finished of it cannot be written, so that nothing more of it is sent; `paused`: a person wants that. `changes`
    are made in the bodies that are sent. `shards` were claimed since the batch is here.
    """

    __slots__ = (
        "after_another",
        "changes",
        "deadline_ms",
        "deadline_s",
        "dropped",
        "endpoint",
        "id",
        "input_keys",
        "open",
        "part",
        "paused",
        "prefix",
        "priority",
        "shards",
        "spend",
        "stuck",
        "tenant",
        "tenant_id",
        "timer",
        "waiting",
        "weight",
    )

    def __init__(self, claim: Claim, spend: Spend | None, tenant: TenantRun) -> None:
        self.id = claim.batch_id
        self.tenant = tenant
        self.tenant_id = claim.tenant_id
        self.weight = claim.weight
        self.priority = claim.priority
        self.part = claim.priority.weight
        self.deadline_ms = claim.deadline_ms
        self.deadline_s = float("inf")
        self.timer: Timer | None = None
        self.endpoint = claim.endpoint
        self.prefix = id_prefix(claim.batch_id)
        self.input_keys = (claim.input_blob_key, claim.input_index_key)
        self.open = 0
        self.waiting = 0
        self.dropped = False
        self.spend = spend
        self.changes = changes_of(claim.retry)
        self.after_another = claim.after_another
        self.stuck = False
        self.paused = False
        self.shards: set[int] = set()

    @property
    def halted(self) -> bool:
        return self.stuck or self.paused


class Way(NamedTuple):
    """What fallbacks mean for lines with one provider field and model in one lane: where they go when it cannot serve
    them, and, in a lane that stands in for another, the model they asked for and who answers (`provider/model`)."""

    next: LaneKey | None
    model: str | None = None
    fallback: str | None = None


class Share:
    """One batch in one lane. `aside` has lines that wait for something else than room: while `short`, for others of
    the batch in flight to leave some of its money; while `first.paused`, for one of them to be answered; while the
    batch is `halted`, for its finished ones to be written, or a person; while `crowded`, for others of the tenant to
    end.

    `leads_on`: the lane's lines of this batch have another lane to go to.
    """

    __slots__ = ("aside", "batch", "crowded", "first", "leads_on", "returned", "short")

    def __init__(self, batch: BatchRun, pause_after: int) -> None:
        self.batch = batch
        # What failed in another batch fails again as a rule, and is all that a retry sends.
        self.first = FirstFailures(0 if batch.after_another else pause_after)
        self.aside: deque[tuple[Held, int]] = deque()
        self.short = False
        self.crowded = False
        self.returned = 0
        self.leads_on = False

    @property
    def held_back(self) -> bool:
        return self.short or self.crowded or self.first.paused or self.batch.halted


class Held:
    """One claimed shard. Arrays are by place in the range; `rewritten` marks lines that the wire must encode, `ways`
    has each line's where any has one; `plain` lines have none of both, and no price to look at.

    `attempts` and `tries` know only lines that were sent and have to be sent again. `unproved` until a line of the
    shard was answered.
    """

    __slots__ = (
        "attempts",
        "batch",
        "epoch",
        "first_line",
        "lengths",
        "offsets",
        "plain",
        "range_no",
        "rewritten",
        "shard_id",
        "share",
        "tries",
        "unproved",
        "ways",
    )

    def __init__(
        self,
        claim: Claim,
        share: Share,
        offsets: array[int],
        lengths: array[int],
        rewritten: int,
        ways: Sequence[Way | None] | None,
    ) -> None:
        self.shard_id = claim.shard_id
        self.epoch = claim.epoch
        self.share = share
        self.batch = batch = share.batch
        self.range_no = claim.range_no
        self.first_line = claim.first_line
        self.offsets = offsets
        self.lengths = lengths
        self.rewritten = rewritten
        self.ways = ways
        self.plain = not rewritten and ways is None and batch.spend is None
        self.unproved = not share.first.over
        self.attempts: dict[int, int] = {}
        self.tries: dict[int, Tries] = {}

    def next_lane(self, place: int) -> LaneKey | None:
        """Where that line goes when its lane cannot serve it."""
        way = self.ways[place] if self.ways is not None else None
        return None if way is None else way.next


class _Waiting:
    """A batch's lines that wait in one lane, grouped by prompt prefix: a prefix is finished before the next begins,
    so that the upstream's prompt cache is hit. Lines that come back go first."""

    __slots__ = ("again", "batch", "count", "groups")

    def __init__(self, batch: BatchRun) -> None:
        self.batch = batch
        self.again: deque[tuple[Held, int]] = deque()
        self.groups: dict[int, deque[tuple[Held, int]]] = {}
        self.count = 0

    def take(self, most: int) -> list[tuple[Held, int]]:
        """Up to `most` lines, of one prefix only."""
        source = self.again
        if not source:
            prefix = next(iter(self.groups))
            source = self.groups[prefix]
            if len(source) <= most:
                del self.groups[prefix]
        some = [source.popleft() for _ in range(min(most, len(source)))]
        self.count -= len(some)
        return some


class LaneQueue:
    """The lines that one lane has claimed and not yet loaded; tenants and batches take turns."""

    def __init__(self) -> None:
        self._turns = Turns()
        self._batches: dict[str, _Waiting] = {}
        self._taken = 0
        self.count = 0
        self.dry = False
        """A batch has no fresh line at hand any more, though others may have. Set here, cleared by the asker."""

    def add(self, held: Held, places: Sequence[int], prefixes: Sequence[int]) -> None:
        """Queue the shard's lines at `places`, in input order; `prefixes` are the hashes of the range's lines."""
        waiting = self._of(held.batch)
        groups = waiting.groups
        for place in places:
            prefix = prefixes[place]
            group = groups.get(prefix)
            if group is None:
                group = groups[prefix] = deque()
            group.append((held, place))
        waiting.count += len(places)
        self.count += len(places)

    def put_back(self, held: Held, place: int) -> None:
        """A line that was taken waits again, before all others of its batch."""
        waiting = self._of(held.batch)
        waiting.again.append((held, place))
        waiting.count += 1
        self.count += 1

    def put_last(self, held: Held, place: int) -> None:
        """A line that was taken waits again, after all others of its batch: so that probes ask with different ones."""
        waiting = self._of(held.batch)
        waiting.groups.setdefault(_LAST, deque()).append((held, place))
        waiting.count += 1
        self.count += 1

    def peek(self) -> tuple[Held, int] | None:
        """The line that `take` will return first."""
        batch_id = self._turns.next()
        if batch_id is None:
            return None
        waiting = self._batches[batch_id]
        return (waiting.again or waiting.groups[next(iter(waiting.groups))])[0]

    def take(self) -> list[tuple[Held, int]]:
        """The next few lines by fair turns, all of one batch. Empty: nothing waits."""
        batch_id = self._turns.next()
        if batch_id is None:
            return []
        waiting = self._batches[batch_id]
        fresh = not waiting.again
        some = waiting.take(QUANTUM - self._taken)
        self.count -= len(some)
        self._taken += len(some)
        if not waiting.count:
            self.dry = self.dry or fresh
            self._turns.charge(batch_id, self._taken)
            self._taken = 0
            self._turns.remove(batch_id)
            del self._batches[batch_id]
        elif self._taken >= QUANTUM:
            self._turns.charge(batch_id, self._taken)
            self._taken = 0
        return some

    def take_all(self, batch_id: str) -> list[tuple[Held, int]]:
        """All lines of the batch, in the order in which `take` would return them; its turn is over."""
        waiting = self._batches.pop(batch_id, None)
        if waiting is None:
            return []
        if self._turns.next() == batch_id:
            self._turns.charge(batch_id, self._taken)
            self._taken = 0
        self._turns.remove(batch_id)
        self.count -= waiting.count
        lines: list[tuple[Held, int]] = []
        while waiting.count:
            lines += waiting.take(waiting.count)
        return lines

    def look(self) -> None:
        """The batches' weights and parts may have changed."""
        for waiting in self._batches.values():
            self._add_turn(waiting.batch)

    def count_of(self, batch_id: str) -> int:
        waiting = self._batches.get(batch_id)
        return 0 if waiting is None else waiting.count

    def held(self) -> list[tuple[BatchRun, int]]:
        """Waiting lines by batch."""
        return [(waiting.batch, waiting.count) for waiting in self._batches.values()]

    def _of(self, batch: BatchRun) -> _Waiting:
        waiting = self._batches.get(batch.id)
        if waiting is None:
            waiting = self._batches[batch.id] = _Waiting(batch)
            self._add_turn(batch)
        return waiting

    def _add_turn(self, batch: BatchRun) -> None:
        self._turns.add(batch.tenant_id, batch.weight, batch.id, batch.deadline_ms, batch.part)
