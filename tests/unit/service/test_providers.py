"""How the configured providers are, told from their lanes."""

from __future__ import annotations

from typing import Any

import pytest

from batchrouter.adapters.memory.clock import StepClock
from batchrouter.adapters.threads import InlineCalls
from batchrouter.bootstrap.wiring import provider_facts
from batchrouter.config import Config, ProviderConfig
from batchrouter.domain.backlog import Backlog
from batchrouter.domain.shard import Lane, LaneKey
from batchrouter.service.providers import LaneNow, ProviderBook, ProviderFacts, ProviderState

FACTS = ProviderFacts(name="gpu", type="vllm", base_url=None, models=(), default=True, keyed=False)


class Told:
    def __init__(self, backlog: Backlog) -> None:
        self._backlog = backlog

    def backlog(self, now_ms: int) -> Backlog:
        return self._backlog


def lane(id: int, state: str = "open", provider: str = "gpu", **changes: Any) -> Lane:
    return Lane(id=id, key=LaneKey(provider, f"m{id}"), state=state, **changes)


async def state_of(*lanes: Lane) -> Any:
    backlog = Backlog(waiting=tuple((each, each.id * 10) for each in lanes), loads={2: (3, 4)})
    (told,) = await ProviderBook([FACTS], Told(backlog), InlineCalls(), StepClock()).all()
    return told


@pytest.mark.parametrize(
    ("states", "worst"),
    [
        ((), ProviderState.UNUSED),
        (("open",), ProviderState.OK),
        (("open", "waiting"), ProviderState.WAITING),
        (("unreachable", "waiting"), ProviderState.WAITING),
        (("waiting", "paused", "unreachable", "open"), ProviderState.PAUSED),
    ],
)
async def test_a_provider_is_as_bad_as_its_worst_lane(states: tuple[str, ...], worst: ProviderState) -> None:
    """And says why and until when, in that lane's words."""
    lanes = [lane(at + 1, state, reason=state, until_ms=at) for at, state in enumerate(states)]
    told = await state_of(*lanes)
    assert told.state is worst
    if worst in (ProviderState.PAUSED, ProviderState.WAITING):
        assert told.reason in {"paused", "unreachable", "waiting"} & set(states)
        assert told.until_ms == states.index(told.reason)


async def test_each_lane_tells_what_waits_and_what_is_under_way() -> None:
    """Those of other providers are not this one's."""
    told = await state_of(lane(1), lane(2), lane(3, provider="other"))
    assert told.lanes == (LaneNow(lane(1), 10, 0, 0), LaneNow(lane(2), 20, 3, 4))


def test_what_is_secret_in_the_configuration_is_not_told() -> None:
    """Neither a key, nor a password or a query in the URL."""
    config = Config(
        providers={
            "a": ProviderConfig(type="openai", base_url="https://me:hidden@host:8000/v1?key=hidden", models=("q*",)),
            "b": ProviderConfig(type="openai", base_url="http://gpu/v1", api_key="hidden"),
        },
        default_provider="b",
    )
    a, b = provider_facts(config)
    assert "hidden" not in repr((a, b))
    assert (a.base_url, a.models, a.default, a.keyed) == ("https://host:8000/v1", ("q*",), False, False)
    assert (b.base_url, b.default, b.keyed) == ("http://gpu/v1", True, True)
