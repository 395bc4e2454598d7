"""What several workers may have of one limit, without talking to each other.

Each writes down with its beat what it could use of the limit (`wanted`) and what it lays claim to (`held`), and reads
what the others wrote. All split the limit by the same rule: max-min, so that nobody gets more than it wants while
another wants more than it gets; what nobody wants is split evenly, so that whoever has new work can begin at once.

Beats are not simultaneous, so workers go by different tables. Therefore a part that shrinks does so at once; one that
grows is claimed first, in one beat, and used from the next one on, as far as the claims of the others leave room. A
claim is never below the part in use. So of two who grow at the same time one sees the other's claim, whatever the order
in which the store takes their beats, and the parts of all never pass the limit. Whoever has died keeps its claim until
its lease ends and its row goes: its calls may still run.

A **gate** is the name of one such limit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

EVERYTHING = 1 << 56
"""Wanted by whoever is held back: more than any limit."""
RATE_UNIT = 1000
"""Rates are told in thousandths of a call, or a token, a minute."""
FLOOR_PART = 0.02
"""Of a rate: what newcomers may use, all together, before their demand has been heard."""
TURN_MS = 20_000
"""How long one worker keeps what cannot be split."""


class Demand(NamedTuple):
    """`wanted`: what a worker could use of a gate's limit. `held`: what it lays claim to; at least its part, and what
    it has whatever its part is now (calls in flight, money spent and not yet written down). Units are the gate's."""

    wanted: int
    held: int = 0


NO_DEMANDS: Mapping[str, Demand] = MappingProxyType({})


class Peer(NamedTuple):
    """A worker as another sees it. A gate that is not named is neither wanted nor held."""

    worker: str
    demands: Mapping[str, Demand]


Split = Callable[[float, Mapping[str, float]], dict[str, float]]
"""Parts of a limit by what each wants; the same for everyone who is given the same."""


# --- gates ----------------------------------------------------------------------------------------------------------


def lane_gate(lane_id: int) -> str:
    """No limit: how many calls a worker may have in flight in a lane that is open to it (0: it is not)."""
    return f"lane:{lane_id}"


def member_gate(lane_id: int, member: str, kind: str) -> str:
    """A limit of one key in one lane."""
    return f"lane:{lane_id}:{member}:{kind}"


def tenant_gate(tenant_id: str) -> str:
    """A tenant's calls in flight, over all lanes."""
    return f"tenant:{tenant_id}"


_MONEY = "money:"


def money_gate(batch_id: str) -> str:
    """What a batch may still cost. Wanted is the most that one of its lines can cost."""
    return _MONEY + batch_id


def batch_of_gate(gate: str) -> str | None:
    """The batch of a money gate."""
    return gate.removeprefix(_MONEY) if gate.startswith(_MONEY) else None


# --- splits ---------------------------------------------------------------------------------------------------------


def max_min(limit: float, demands: Mapping[str, float]) -> dict[str, float]:
    """The sum is the smaller of limit and demand; nobody gets more than it wants; who gets less than it wants gets no
    less than any other."""
    left, shares = max(0.0, limit), {}
    ordered = sorted(demands.items(), key=lambda each: (each[1], each[0]))
    for place, (name, wanted) in enumerate(ordered):
        shares[name] = max(0.0, min(wanted, left / (len(ordered) - place)))
        left -= shares[name]
    return shares


def evenly(limit: float, demands: Mapping[str, float]) -> dict[str, float]:
    """Max-min; what nobody wants goes to all alike. The sum is the limit."""
    shares = max_min(limit, demands)
    if not shares:
        return shares
    more = max(0.0, limit - sum(shares.values())) / len(shares)
    return {name: share + more for name, share in shares.items()}


def wholly(turn: int) -> Split:
    """As `evenly`, in whole numbers. What cannot be split goes round: `turn` is a number that grows."""

    def split(limit: float, demands: Mapping[str, float]) -> dict[str, float]:
        shares = {name: float(int(share)) for name, share in max_min(int(limit), demands).items()}
        names = sorted(shares)
        left = int(limit) - int(sum(shares.values()))
        names = names[turn % len(names) :] + names[: turn % len(names)] if names else names
        for name in names:
            if left > 0 and shares[name] + 1 <= demands[name]:
                shares[name] += 1
                left -= 1
        for place, name in enumerate(names):
            shares[name] += left // len(names) + (place < left % len(names))
        return shares

    return split


def by_turns(turn: int) -> Split:
    """Equal parts for all who want any; everything to one of them, in turn, where a part would not do for each."""

    def split(limit: float, demands: Mapping[str, float]) -> dict[str, float]:
        shares = dict.fromkeys(demands, 0.0)
        names = sorted(name for name, wanted in demands.items() if wanted > 0)
        if not names or limit <= 0:
            return shares
        part = limit / len(names)
        if part >= max(demands[name] for name in names):
            return shares | dict.fromkeys(names, part)
        return shares | {names[turn % len(names)]: limit}

    return split


# --- one worker's part ----------------------------------------------------------------------------------------------


class Account:
    """One worker's part of one limit. `tell` goes into each of its beats, `hear` follows from what the beat showed."""

    __slots__ = ("_claimed", "_me", "_target", "limit", "part", "workers")

    def __init__(self, me: str, limit: float, workers: int) -> None:
        """`workers` live, as far as is known. Who is alone has everything at once."""
        self._me = me
        self._claimed = 0.0
        """What was laid claim to in the beat before."""
        self._target = limit / max(1, workers)
        self.limit = limit
        self.part = limit if workers <= 1 else 0.0
        self.workers = workers

    @property
    def floor(self) -> float:
        """What a newcomer may use of a rate until it has a part."""
        return FLOOR_PART * self.limit / max(1, self.workers)

    def tell(self, wanted: int, has: float = 0.0) -> Demand:
        """`has`: what the worker has of it at this moment."""
        return Demand(wanted, math.ceil(max(self.part, has, self._target) - 1e-6))

    def spend(self, amount: float) -> None:
        """So much of the part is gone, and of the limit too."""
        self.part = max(0.0, self.part - amount)

    def shrink(self, limit: float) -> None:
        """The limit is another now."""
        self.part = limit if self.workers == 1 else min(self.part, limit)

    def hear(self, limit: float, peers: Sequence[Peer], gate: str, split: Split = evenly) -> float:
        """The part from now on. `peers`: all workers, as they stood at this worker's beat, itself included."""
        told = {peer.worker: peer.demands.get(gate, _NOTHING) for peer in peers}
        mine = told.setdefault(self._me, _NOTHING)
        self.limit, self.workers = limit, len(told)
        claimed, self._claimed = min(self._claimed, float(mine.held)), float(mine.held)
        if self.workers == 1:
            self._target = self.part = limit
            return limit
        self._target = split(limit, {name: float(demand.wanted) for name, demand in told.items()})[self._me]
        room = limit - sum(demand.held for name, demand in told.items() if name != self._me)
        self.part = max(0.0, min(self._target, max(self.part, min(claimed, room))))
        return self.part


_NOTHING = Demand(0)
