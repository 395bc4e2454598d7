"""What a provider's settings mean to the connections and the pace of its lanes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from batchrouter.adapters.clock import RealClock
from batchrouter.adapters.http.direct import DirectTransport
from batchrouter.adapters.prices import ListedPrices
from batchrouter.adapters.upstream_models import UpstreamModels
from batchrouter.bootstrap.model_facts import ModelFacts
from batchrouter.bootstrap.upstreams import ConfiguredUpstreams
from batchrouter.bootstrap.wiring import connections_max, price_sources, upstreams_of
from batchrouter.config import Config, ProviderConfig, router_of
from batchrouter.domain.pacing import Limiter
from batchrouter.domain.shard import LaneKey
from batchrouter.engine.setup import Member


def upstreams(config: Config, most: int = 1000) -> ConfiguredUpstreams:
    """To be made inside an event loop."""
    clock = RealClock()
    facts = ModelFacts(UpstreamModels(upstreams_of(config), clock).entries, clock)
    prices = ListedPrices(price_sources(config), clock)
    return ConfiguredUpstreams(config, router_of(config), DirectTransport(), most, prices, facts, clock, {})


def connect(most: int = 1000, **settings: Any) -> Member:
    provider = ProviderConfig(base_url="http://127.0.0.1:9/v1", **settings)

    async def made() -> Member:
        return upstreams(Config(providers={"p": provider}), most).lane(LaneKey("p", "m")).members[0]

    return asyncio.run(made())


@pytest.mark.parametrize("most", [1, 2, 15])
def test_a_small_bound_is_obeyed(most: int) -> None:
    """However high the start is; learnt or fixed."""
    learnt = connect(max_in_flight=most).pacing
    assert (learnt.max_in_flight, learnt.start_in_flight) == (most, most)
    assert Limiter(learnt).limit == most
    assert Limiter(learnt, learnt=1000).limit == most
    assert Limiter(connect(fixed_in_flight=most).pacing).limit == most


def test_what_all_workers_may_have_together_bounds_each() -> None:
    assert connect(total_in_flight=7).pacing.total_in_flight == 7
    assert Limiter(connect(total_in_flight=7).pacing).room(0.0) == 7
    assert connect().pacing.total_in_flight is None


def test_no_lane_may_have_more_in_flight_than_there_may_be_connections() -> None:
    """And one at least."""
    assert Limiter(connect(244, fixed_in_flight=1000).pacing).limit == 244
    assert connect(244, max_in_flight=1000).pacing.max_in_flight == 244
    assert connect(0, max_in_flight=1000).pacing.max_in_flight == 1


@pytest.mark.parametrize(("nofile", "most"), [(20, 10), (500, 250), (1024, 768), (4096, 3072)])
def test_files_are_left_for_everything_else(nofile: int, most: int) -> None:
    """256 or a quarter; half where there are few."""
    assert connections_max(nofile) == most


def test_the_list_of_models_is_asked_as_lines_are_sent() -> None:
    """With the provider's own root and address."""
    provider = ProviderConfig(base_url="https://h/v1", ca_file="/ca.pem", verify_tls=False)
    upstream = upstreams_of(Config(providers={"p": provider}))["p"]
    assert (upstream.base_url, upstream.ca_file, upstream.verify_tls) == ("https://h/v1", "/ca.pem", False)
