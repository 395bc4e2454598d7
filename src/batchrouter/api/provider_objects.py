"""Providers as they are sent; ours, OpenAI has none. Times are unix seconds."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from batchrouter.api.objects import seconds
from batchrouter.service.providers import LaneNow, ProviderNow, ProviderState

KeyState = Literal["set", "none", "refused"]


class ProviderLane(Struct):
    """A model there, in one mode. `limit` is what was learnt of how many calls it takes at once."""

    model: str
    mode: str
    state: str
    reason: str | None
    until: int | None
    limit: int | None
    waiting: int
    in_flight: int
    retrying: int


class ProviderObject(Struct):
    """`models`: patterns of the names that are routed there. `key`: whether the configuration has one, and whether the
    provider refuses it (or the account behind it) at the moment; never its value."""

    name: str
    object: Literal["provider"]
    type: str
    base_url: str | None
    models: list[str]
    default: bool
    key: KeyState
    state: Literal["ok", "waiting", "paused", "unused"]
    reason: str | None
    until: int | None
    lanes: list[ProviderLane]


class ProviderList(Struct):
    object: Literal["list"]
    data: list[ProviderObject]


def provider_object(told: ProviderNow) -> ProviderObject:
    facts = told.facts
    key: KeyState = "refused" if told.state is ProviderState.PAUSED else "set" if facts.keyed else "none"
    return ProviderObject(
        name=facts.name,
        object="provider",
        type=facts.type,
        base_url=facts.base_url,
        models=list(facts.models),
        default=facts.default,
        key=key,
        state=told.state.value,
        reason=told.reason,
        until=seconds(told.until_ms),
        lanes=[_lane(each) for each in told.lanes],
    )


def _lane(each: LaneNow) -> ProviderLane:
    lane = each.lane
    return ProviderLane(
        model=lane.key.model,
        mode=lane.key.mode.value,
        state=lane.state,
        reason=lane.reason,
        until=seconds(lane.until_ms),
        limit=lane.limit,
        waiting=each.waiting,
        in_flight=each.in_flight,
        retrying=each.retrying,
    )
