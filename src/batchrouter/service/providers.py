"""The configured providers, and how they are: for whoever runs the servers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from batchrouter.domain.backlog import Backlog
from batchrouter.domain.lane_health import LaneState
from batchrouter.domain.shard import Lane
from batchrouter.ports.backlog import Backlogs
from batchrouter.ports.calls import Calls
from batchrouter.ports.clock import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderFacts:
    """What the configuration says of a provider. `models`: globs of the names that are routed to it; `keyed`: whether
    it has a key. The key itself is never here, nor anything that stood in the URL beside host and path."""

    name: str
    type: str
    base_url: str | None
    models: tuple[str, ...]
    default: bool
    keyed: bool


class ProviderState(StrEnum):
    """The worst that one of its lanes is in."""

    OK = "ok"
    WAITING = "waiting"
    """Until a time that it named itself, or until it answers again."""
    PAUSED = "paused"
    """Until a person mends something: a key, credit, a permission."""
    UNUSED = "unused"
    """No line has gone there yet."""


@dataclass(frozen=True, slots=True)
class LaneNow:
    """`waiting` lines are no worker's yet; those `in_flight` and `retrying` are as of the workers' last beat."""

    lane: Lane
    waiting: int
    in_flight: int
    retrying: int


@dataclass(frozen=True, slots=True)
class ProviderNow:
    """`reason` and `until_ms` are those of the lane that `state` is of."""

    facts: ProviderFacts
    state: ProviderState
    reason: str | None
    until_ms: int | None
    lanes: tuple[LaneNow, ...]


class ProviderBook:
    def __init__(self, facts: Sequence[ProviderFacts], backlogs: Backlogs, calls: Calls, clock: Clock) -> None:
        self._facts = tuple(facts)
        self._backlogs = backlogs
        self._calls = calls
        self._clock = clock

    async def all(self) -> list[ProviderNow]:
        """In the order of the configuration. Lanes of providers that are no longer configured are left out."""
        backlog = await self._calls.read(self._backlogs.backlog, self._clock.unix_ms())
        return [_now(facts, backlog) for facts in self._facts]


_RANKS = {
    LaneState.OPEN: (0, ProviderState.OK),
    LaneState.WAITING: (1, ProviderState.WAITING),
    LaneState.UNREACHABLE: (2, ProviderState.WAITING),
    LaneState.PAUSED: (3, ProviderState.PAUSED),
}


def _now(facts: ProviderFacts, backlog: Backlog) -> ProviderNow:
    lanes = tuple(
        LaneNow(lane, lines, *backlog.loads.get(lane.id, (0, 0)))
        for lane, lines in backlog.waiting
        if lane.key.provider == facts.name
    )
    worst = max((each.lane for each in lanes), key=lambda lane: _RANKS[LaneState(lane.state)][0], default=None)
    if worst is None:
        return ProviderNow(facts, ProviderState.UNUSED, None, None, ())
    return ProviderNow(facts, _RANKS[LaneState(worst.state)][1], worst.reason, worst.until_ms, lanes)
