"""When a line leaves a lane that cannot serve it, and where it goes.

A chain is what the configuration names for a line's own provider field and model, in order. A line moves along it,
never back, so that a chain ends; what the last lane of it answers stands.
"""

from __future__ import annotations

from collections.abc import Sequence

from batchrouter.domain.retry import Kind
from batchrouter.domain.routing import Resolved
from batchrouter.domain.shard import LaneKey

_CODES = frozenset(
    {
        "model_not_found",
        # What vLLM and Ollama, and Anthropic, call a model that they do not have.
        "notfounderror",
        "not_found_error",
        "context_length_exceeded",
    }
)
"""In lower case. Another model, or another host of the same one, may well take such a line; what is wrong with a line's
content or form is wrong everywhere."""
_CANNOT = "unsupported_"
"""Begins the codes of what this model or host cannot do: `unsupported_parameter`, `unsupported_value`, …"""


def moves_on(kind: Kind, status: int | None, code: str | None) -> bool:
    """Whether a line that would now fail in its lane should be asked of the next one instead.

    `kind` is of its last end, whose tries are used up unless it is LINE_FAULT; `status` None: there was no reply.
    """
    if kind is not Kind.LINE_FAULT:
        return kind is not Kind.OK
    word = (code or "").lower()
    return word in _CODES or word.startswith(_CANNOT) or (status is not None and status >= 500)


def next_lane(chain: Sequence[Resolved], lane: LaneKey) -> LaneKey | None:
    """The lane of real-time calls that comes after `lane` in a line's chain; None at its end, or without one."""
    targets = _targets(chain)
    here = _plain(lane)
    place = targets.index(here) + 1 if here in targets else 0
    return targets[place] if place < len(targets) else None


def stands_in(chain: Sequence[Resolved], lane: LaneKey) -> bool:
    """Whether a line with this chain that is in `lane` came there by it."""
    return _plain(lane) in _targets(chain)


def _targets(chain: Sequence[Resolved]) -> list[LaneKey]:
    return list(dict.fromkeys(LaneKey(each.provider, each.model) for each in chain))


def _plain(lane: LaneKey) -> LaneKey:
    """Without pool and mode: they are other ways to the same model."""
    return LaneKey(lane.provider, lane.model)
