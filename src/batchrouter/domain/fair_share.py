"""Who is served next: which batches' shards a lane claims, and whose line takes its next free slot.

Both share a lane between tenants by weight, and a tenant's part between its batches by priority, evenly among those of
one; a batch near its deadline goes before any priority. Nobody gets nothing. Claims look at what each
already holds; slots go by stride scheduling: everybody has a pass, serving moves it on by lines / weight, the lowest
pass is next. A newcomer starts at the pass of the one being served: it has no claim on the past.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence

from batchrouter.domain.priority import Priority
from batchrouter.domain.shard import WaitingGroup

QUANTUM = 8
"""Lines a batch may take in one turn, so that choosing costs little per line."""
URGENT_MS = 900_000
"""A batch this close to its deadline comes before the tenant's others."""
URGENT_WEIGHT = 512
"""Before `Priority.weight` of any, by as much as the highest is before the normal ones."""


def weight_in_tenant(priority: Priority, deadline_ms: int, now_ms: int) -> int:
    """A batch's part of what its tenant has of a lane, against the tenant's others."""
    return URGENT_WEIGHT if deadline_ms - now_ms <= URGENT_MS else priority.weight


def pick_shards(
    waiting: Sequence[WaitingGroup],
    held: Mapping[str, int],
    tenant_held: Mapping[str, int],
    room: int,
    now_ms: int,
) -> list[tuple[str, int]]:
    """(batch_id, number of shards) to claim for one lane that wants `room` more lines, in claiming order.

    `waiting` is of that lane alone. `held` is the lines already held of each batch, `tenant_held` of each tenant, both
    in this lane. Every batch that holds nothing gets one shard before any gets a second; then the tenant with the
    fewest lines for its weight is next. The last shard may overshoot `room`.
    """
    groups = [group for group in waiting if group.shards > 0]
    taken = dict.fromkeys((group.batch_id for group in groups), 0)
    lines = {tenant: float(tenant_held.get(tenant, 0)) for tenant in {group.tenant_id for group in groups}}
    left = float(room)
    newcomers = [group for group in groups if not held.get(group.batch_id)]
    for round_of, once in ((newcomers, True), (groups, False)):
        left = _deal(round_of, once, held, lines, taken, left, now_ms)
    return [(batch_id, shards) for batch_id, shards in taken.items() if shards]


def _deal(
    groups: Sequence[WaitingGroup],
    once: bool,
    held: Mapping[str, int],
    lines: dict[str, float],
    taken: dict[str, int],
    left: float,
    now_ms: int,
) -> float:
    """Deal single shards until `left` lines are dealt; returns what is left. Changes `lines` and `taken`."""
    queues: dict[str, list[tuple[bool, float, int, int, WaitingGroup]]] = {}
    for place, group in enumerate(groups):
        if taken[group.batch_id] < group.shards:
            queues.setdefault(group.tenant_id, []).append((*_rank(group, held, taken, now_ms), place, group))
    weights = {group.tenant_id: max(1, group.weight) for group in groups}
    tenants = [(lines[tenant] / weights[tenant], place, tenant) for place, tenant in enumerate(queues)]
    for queue in queues.values():
        heapq.heapify(queue)
    heapq.heapify(tenants)
    while tenants and left > 0:
        _, rank, tenant = heapq.heappop(tenants)
        queue = queues[tenant]
        *_, place, group = heapq.heappop(queue)
        size = group.lines / group.shards
        taken[group.batch_id] += 1
        lines[tenant] += size
        left -= size
        if not once and taken[group.batch_id] < group.shards:
            heapq.heappush(queue, (*_rank(group, held, taken, now_ms), place, group))
        if queue:
            heapq.heappush(tenants, (lines[tenant] / weights[tenant], rank, tenant))
    return left


def _rank(
    group: WaitingGroup, held: Mapping[str, int], taken: Mapping[str, int], now_ms: int
) -> tuple[bool, float, int]:
    """Among one tenant's batches: those near their deadline, then those that hold least for their priority, then the
    nearer deadline."""
    holds = held.get(group.batch_id, 0) + taken[group.batch_id] * group.lines / group.shards
    return (group.deadline_ms - now_ms > URGENT_MS, holds / group.priority.weight, group.deadline_ms)


class _Stride:
    """Members in the order of their pass; each operation is O(log members).

    A heap entry that is no longer a member's current one is skipped when it comes up.
    """

    __slots__ = ("_debts", "_heap", "_members", "_number", "_pass")

    _DEBTS_MAX = 256

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, int, str]] = []
        self._members: dict[str, tuple[float, int, int, str]] = {}
        self._pass = 0.0
        self._number = 0
        self._debts: dict[str, float] = {}
        """Passes of those who left ahead of the others: leaving and coming back must not wipe out what they took."""

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, key: str) -> bool:
        return key in self._members

    def add(self, key: str, tie: int) -> None:
        """`tie` decides between equal passes, lower first; then who came first."""
        self._push(max(self._pass, self._debts.pop(key, self._pass)), tie, key)

    def retie(self, key: str, tie: int) -> None:
        entry = self._members[key]
        if entry[1] != tie:
            self._push(entry[0], tie, key)

    def remove(self, key: str) -> None:
        entry = self._members.pop(key)
        if entry[0] > self._pass:
            self._debts[key] = entry[0]
            if len(self._debts) > self._DEBTS_MAX:
                self._debts = {each: debt for each, debt in self._debts.items() if debt > self._pass}
        if len(self._heap) > 2 * len(self._members) + 16:
            self._heap = sorted(self._members.values())

    def first(self) -> str | None:
        heap, members = self._heap, self._members
        while heap:
            entry = heap[0]
            if members.get(entry[3]) is entry:
                self._pass = entry[0]
                return entry[3]
            heapq.heappop(heap)
        return None

    def charge(self, key: str, amount: float) -> None:
        entry = self._members[key]
        self._push(entry[0] + amount, entry[1], key)

    def _push(self, at: float, tie: int, key: str) -> None:
        self._number += 1
        entry = (at, tie, self._number, key)
        self._members[key] = entry
        if self._heap and self._members.get(self._heap[0][3]) is not self._heap[0]:
            heapq.heapreplace(self._heap, entry)
        else:
            heapq.heappush(self._heap, entry)


class Turns:
    """Whose turn it is among the batches that have a line ready in one lane.

    Use: `batch = next()`, take up to QUANTUM lines of it, `charge(batch, taken)`, and `remove` it when it has no line
    ready any more. The shares of tenants follow their weights over time, whatever number of batches each has; those of
    a tenant's batches follow theirs.
    """

    __slots__ = ("_batches", "_current", "_parts", "_tenant_of", "_tenants", "_weights")

    def __init__(self) -> None:
        self._tenants = _Stride()
        self._batches: dict[str, _Stride] = {}
        self._tenant_of: dict[str, str] = {}
        self._weights: dict[str, int] = {}
        self._parts: dict[str, int] = {}
        self._current: str | None = None

    def __len__(self) -> int:
        """Batches that have a line ready."""
        return len(self._tenant_of)

    def add(self, tenant: str, weight: int, batch: str, deadline_ms: int, part: int = 1) -> None:
        """The batch has lines ready; `part` is its weight within its tenant. A second add of a batch only updates
        weights and deadline."""
        self._weights[tenant] = max(1, weight)
        self._parts[batch] = max(1, part)
        if batch in self._tenant_of:
            self._batches[tenant].retie(batch, deadline_ms)
            return
        if tenant not in self._tenants:
            self._tenants.add(tenant, 0)
        self._tenant_of[batch] = tenant
        self._batches.setdefault(tenant, _Stride()).add(batch, deadline_ms)

    def remove(self, batch: str) -> None:
        """The batch has no line ready now. Unknown batches are ignored."""
        tenant = self._tenant_of.pop(batch, None)
        if tenant is None:
            return
        if batch == self._current:
            self._current = None
        del self._parts[batch]
        batches = self._batches[tenant]
        batches.remove(batch)
        if not batches:
            self._tenants.remove(tenant)

    def next(self) -> str | None:
        """The batch to serve, None when no batch is ready; the same one until it is charged or removed."""
        if self._current is None:
            tenant = self._tenants.first()
            if tenant is not None:
                self._current = self._batches[tenant].first()
        return self._current

    def charge(self, batch: str, lines: int) -> None:
        """`lines` of the batch went out, and its turn is over. Charge before `remove`; strangers are ignored."""
        tenant = self._tenant_of.get(batch)
        if tenant is None:
            return
        if batch == self._current:
            self._current = None
        self._batches[tenant].charge(batch, lines / self._parts[batch])
        self._tenants.charge(tenant, lines / self._weights[tenant])
