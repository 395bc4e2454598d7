"""What will befall whom, when and for how long: decided by a seed alone, before anything runs.

The bounds of a plan: every kind of trouble comes as often as the others; one process has one trouble at a time, and so
has what they share; one worker and one API are always left alone. The troubles are over when the plan is.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What befalls a worker or an API (`slot`), or what all share."""

    KILL = "kill"
    """`kill -9`, and a start some time later."""
    FREEZE = "freeze"
    """SIGSTOP for longer than a lease, then SIGCONT."""
    NAP = "nap"
    """SIGSTOP for much less than a lease."""
    CUT = "cut"
    """Its connections to the database are reset, again and again."""
    BLACKHOLE = "blackhole"
    """Nothing passes between it and the database for longer than a lease; it arrives afterwards."""
    DEAF = "deaf"
    """What it asks the database happens, and it never learns; for less than a lease."""
    CLOCK = "clock"
    """Its wall clock jumps by `amount` seconds, and back."""
    FULL = "full"
    """Its disk takes no byte."""
    KILL_API = "kill_api"
    FREEZE_API = "freeze_api"
    CUT_API = "cut_api"
    RESTART = "restart"
    """The database restarts, and ends its connections."""
    CRASH = "crash"
    """The database dies, and recovers."""
    BLOBS_SLOW = "blobs_slow"
    BLOBS_BUSY = "blobs_busy"
    BLOBS_TORN = "blobs_torn"
    """Requests and replies break off in the middle."""
    BLOBS_HANG = "blobs_hang"
    ROLLING = "rolling"
    """SIGTERM to one process after another, each started anew before the next goes."""


WORKER = (Kind.KILL, Kind.FREEZE, Kind.NAP, Kind.CUT, Kind.BLACKHOLE, Kind.DEAF, Kind.CLOCK, Kind.FULL)
API = (Kind.KILL_API, Kind.FREEZE_API, Kind.CUT_API)
DATABASE = (Kind.RESTART, Kind.CRASH)
BLOBS = (Kind.BLOBS_SLOW, Kind.BLOBS_BUSY, Kind.BLOBS_TORN, Kind.BLOBS_HANG)

ALL = "all"
"""The slot of what is shared."""
STEPS_S = (3600.0, -3600.0, 90_000.0, -90_000.0, 90.0)
LOOKED_AT = 30
"""The last troubles that were planned: older ones are over."""
APART_S = 0.7
"""Between the end of a trouble and the next of the same process."""


@dataclass(frozen=True, slots=True)
class Trouble:
    at_s: float
    for_s: float
    kind: Kind
    slot: str
    amount: float = 0.0

    @property
    def until_s(self) -> float:
        return self.at_s + self.for_s

    def __str__(self) -> str:
        amount = f" {self.amount:+.0f}" if self.amount else ""
        return f"{self.at_s:7.2f} s  {self.kind} {self.slot} for {self.for_s:.2f} s{amount}"


def plan(seed: int, seconds: float, workers: int, apis: int, lease_s: float, every_s: float = 1.6) -> list[Trouble]:
    """Begins of troubles in order; about one each `every_s`."""
    chance = random.Random(seed)
    names = {kind: [f"worker-{i}" for i in range(workers)] for kind in WORKER}
    names |= {kind: [f"api-{i}" for i in range(apis)] for kind in API}
    made: list[Trouble] = []
    waiting: deque[Kind] = deque()
    deck = _deck(chance)
    now_s = 1.0
    while now_s < seconds:
        if not waiting or len(waiting) < 3:
            waiting.append(next(deck))
        for kind in list(waiting):
            slots = names.get(kind, [ALL])
            for_s = _length(chance, kind, lease_s)
            free = [slot for slot in slots if now_s + for_s < seconds and _fits(made, kind, slot, now_s, for_s, slots)]
            if free:
                waiting.remove(kind)
                amount = chance.choice(STEPS_S) if kind is Kind.CLOCK else 0.0
                made.append(Trouble(round(now_s, 3), round(for_s, 3), kind, chance.choice(free), amount))
                break
        now_s += chance.uniform(0.3, 1.7) * every_s
    return made


def _deck(chance: random.Random) -> Iterator[Kind]:
    """All kinds in some order, and again. What workers suffer comes twice as often; rolling restarts are long."""
    while True:
        cards = [*Kind, *WORKER]
        chance.shuffle(cards)
        yield from cards


def _length(chance: random.Random, kind: Kind, lease_s: float) -> float:
    match kind:
        case Kind.FREEZE | Kind.BLACKHOLE:
            return lease_s * chance.uniform(1.3, 1.7)
        case Kind.NAP | Kind.DEAF:
            return lease_s * chance.uniform(0.1, 0.3)
        case Kind.KILL | Kind.KILL_API:
            return chance.uniform(0.2, lease_s * 1.3)
        case Kind.RESTART | Kind.CRASH:
            return chance.uniform(0.0, lease_s * 0.3)
        case Kind.ROLLING:
            return 10.0
        case _:
            return chance.uniform(1.0, lease_s)


def _fits(made: list[Trouble], kind: Kind, slot: str, at_s: float, for_s: float, slots: list[str]) -> bool:
    until_s = at_s + for_s
    same_time = [each for each in made[-LOOKED_AT:] if at_s < each.until_s + APART_S and each.at_s < until_s + APART_S]
    if kind is Kind.ROLLING:
        return not any(each.kind is kind or each.slot != ALL for each in same_time)
    if slot == ALL:
        group = DATABASE if kind in DATABASE else BLOBS
        return not any(each.kind in group for each in same_time)
    if any(each.kind is Kind.ROLLING for each in same_time):
        return False
    troubled = {each.slot for each in same_time if each.slot in slots}
    return slot not in troubled and len(troubled) < len(slots) - 1
