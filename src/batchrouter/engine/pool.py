"""The members of one lane together: which of them sends next, and what people are told of them all.

Nearly every lane has one; then the pool is that member and nothing else.
"""

from __future__ import annotations

from batchrouter.domain.lane_health import LaneState
from batchrouter.engine.member import MemberAtWork

_BEST_FIRST = (LaneState.OPEN, LaneState.WAITING, LaneState.UNREACHABLE, LaneState.PAUSED)
_ONE = {LaneState.WAITING: "waits", LaneState.UNREACHABLE: "is unreachable", LaneState.PAUSED: "is paused"}
_MANY = {LaneState.WAITING: "wait", LaneState.UNREACHABLE: "are unreachable", LaneState.PAUSED: "are paused"}
_TOLD_WHILE_OPEN = (LaneState.UNREACHABLE, LaneState.PAUSED)


class Pool:
    """`only` is the member of a pool that has no other."""

    def __init__(self, members: tuple[MemberAtWork, ...]) -> None:
        self.members = members
        self.only = members[0] if len(members) == 1 else None

    # --- the lane asks --------------------------------------------------------------------------------------------

    @property
    def open(self) -> bool:
        """Whether any member is."""
        if self.only is not None:
            return self.only.health.open
        return any(member.health.open for member in self.members)

    @property
    def limit(self) -> int:
        """How many calls may be in flight, all members together."""
        if self.only is not None:
            return self.only.limiter.limit
        return sum(member.limiter.limit for member in self.members)

    def others_open(self, member: MemberAtWork) -> bool:
        """Whether another member than that can take a line at once."""
        return self.only is None and any(each.health.open for each in self.members if each is not member)

    def roomiest(self, now_s: float) -> MemberAtWork | None:
        """The member that has the most room; None if none has any."""
        room, place = max((member.room(now_s), -place) for place, member in enumerate(self.members))
        return self.members[-place] if room > 0 else None

    def room(self, now_s: float) -> int:
        """How many lines may be sent now, by all members together."""
        return sum(max(0, member.room(now_s)) for member in self.members)

    def next_s(self, now_s: float) -> float | None:
        """When a member may have room without the end of a call."""
        if self.only is not None:
            return self.only.next_s(now_s)
        return min((at_s for member in self.members if (at_s := member.next_s(now_s)) is not None), default=None)

    @property
    def stuck(self) -> bool:
        """Whether nobody is answered at the moment: each member waits, cannot be reached, or is refused everything."""
        return all(not member.health.open or member.limiter.in_outage for member in self.members)

    def gives_up(self, now_s: float) -> bool:
        """Whether lines that can be run elsewhere should leave: no member can serve them."""
        return all(member.health.gives_up(now_s) for member in self.members)

    # --- people are told ------------------------------------------------------------------------------------------

    @property
    def state(self) -> LaneState:
        """The best of the members' states: the lane works while any of them does."""
        if self.only is not None:
            return self.only.health.state
        return min((member.health.state for member in self.members), key=_BEST_FIRST.index)

    @property
    def reason(self) -> str | None:
        """Why the lane waits; of an open lane, which of its members cannot help."""
        if self.only is not None:
            return self.only.health.reason
        told = _TOLD_WHILE_OPEN if self.open else _BEST_FIRST[1:]
        return "; ".join(filter(None, map(self._told, told))) or None

    @property
    def until_s(self) -> float | None:
        """When the first member is tried again; None while one is open."""
        if self.open:
            return None
        return min((until for m in self.members if (until := m.health.waiting_until_s) is not None), default=None)

    def _told(self, state: LaneState) -> str | None:
        """`2 of 3 keys are paused (eu, us): why the first is`."""
        these = [member for member in self.members if member.health.state is state]
        if not these:
            return None
        names = ", ".join(member.name for member in these if member.name)
        how = _ONE[state] if len(these) == 1 else _MANY[state]
        return (
            f"{len(these)} of {len(self.members)} keys {how}"
            f"{f' ({names})' if names else ''}: {these[0].health.reason or 'not known yet'}"
        )
