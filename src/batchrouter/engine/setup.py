"""What a lane needs to work, made from the configuration by whoever builds the engine.

`ConfigError` from the functions that make these: the lane's provider is not configured (any more).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from batchrouter.domain.cost import RateCard
from batchrouter.domain.job import NativeFacts
from batchrouter.domain.lane_choice import LaneOptions
from batchrouter.domain.pacing import Pacing
from batchrouter.domain.routing import Resolved
from batchrouter.domain.shard import LaneKey
from batchrouter.ports.native import NativeApi
from batchrouter.ports.transport import Link
from batchrouter.providers.base import JobLines, Wire


class Member(NamedTuple):
    """One credential or region of a lane's pool: its wire, a link to it, and its own pace. `name` for people."""

    wire: Wire
    link: Link
    pacing: Pacing
    name: str = ""


class LaneSetup(NamedTuple):
    """A real-time or flex lane. Members encode and decode alike, and differ in where and under which key they send."""

    members: tuple[Member, ...]


class NativeSetup(NamedTuple):
    """A batch lane."""

    api: NativeApi
    lines: JobLines
    wire: Wire
    facts: NativeFacts


async def _unknown(key: LaneKey) -> RateCard | None:
    return None


class Upstreams(NamedTuple):
    """Everything the engine asks of the configuration.

    `options`: how lines of that provider and model may be run. `fallbacks`: where a line with this provider field and
    model goes next when its lane cannot serve it, in order. `card`: a lane's prices, None where they are unknown, asked
    once when the lane begins to work.
    """

    lane: Callable[[LaneKey], LaneSetup]
    native: Callable[[LaneKey], NativeSetup]
    options: Callable[[str, str], LaneOptions]
    fallbacks: Callable[[str, str], tuple[Resolved, ...]]
    card: Callable[[LaneKey], Awaitable[RateCard | None]] = _unknown
