"""Why a native job ended, and where the lines go that it did not finish.

The reason stands in the job's row, its first word one of `Why`, so that whoever comes later can tell what was tried
already: nobody is sent twice into the same wall.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from enum import StrEnum

from batchrouter.domain.lane_choice import LaneOptions, Mode, choose
from batchrouter.domain.shard import LaneMode


class Why(StrEnum):
    CLOSED = "closed"
    """Its batch is closing or over."""
    OVERTAKEN = "overtaken"
    """The deadline is near."""
    UNFINISHED = "unfinished"
    """The provider ended it (expired, cancelled there) or could not run some of its lines."""
    GONE = "gone"
    """The provider does not know it (any more), or what was taken for it is another's."""
    REFUSED = "refused"
    """The provider does not run this as a batch."""
    LIMIT = "limit"
    """Too much was under way; submitted anew when less is."""
    PAUSED = "paused"
    """The key or the account was refused; submitted anew when it is not."""
    CHANGED = "changed"
    """The configuration makes other bytes of its lines than when it was planned; planned anew."""


_WHY = {why.value: why for why in Why}
_WAITS = frozenset({Why.LIMIT, Why.PAUSED})
_REALTIME = frozenset({Why.OVERTAKEN, Why.REFUSED})


def reason(why: Why, told: str | None = None) -> str:
    """As it stands in the job's row; `told` is for people."""
    return f"{why}: {told}" if told else why.value


def why_of(text: str | None) -> Why | None:
    """The first word of a reason; None for a job that left nothing."""
    return _WHY.get((text or "").partition(":")[0])


def lane_after(
    why: Why,
    earlier: Iterable[str | None],
    options: LaneOptions,
    *,
    endpoint: str,
    lines: int,
    rest: int,
    left_s: float,
    margin_s: float,
) -> LaneMode:
    """Where the `lines` lines go that a job left. `earlier`: the reasons of all jobs that the batch had in this lane
    before. What only has to wait stays in the lane, while there is time; what has to be planned anew stays once; what
    the provider did not finish is given to it once more if that is worth it."""
    before = {why_of(text) for text in earlier}
    if why in _REALTIME or Why.REFUSED in before or (why not in _WAITS and why in before):
        options = replace(options, batch=False)
    elif why in _WAITS or why is Why.CHANGED:
        options = replace(options, mode=Mode.BATCH)
    wish = Mode.REALTIME if why is Why.OVERTAKEN else None
    return choose(wish, options, endpoint=endpoint, lines=lines, rest=rest, left_s=left_s, margin_s=margin_s)
