"""What a configuration makes of a lane: its members, its batch API, its options and its prices."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from batchrouter.adapters.memory.clock import StepClock
from batchrouter.adapters.native.anthropic import AnthropicBatches
from batchrouter.adapters.native.mistral import MistralJobs
from batchrouter.adapters.native.openai import OpenAIBatches
from batchrouter.adapters.prices import OwnPrice, PriceSource
from batchrouter.bootstrap.model_facts import EVERY_S, ModelFacts
from batchrouter.bootstrap.upstreams import ConfiguredUpstreams
from batchrouter.bootstrap.wiring import engine_settings, price_sources, service_limits, upstreams_of
from batchrouter.config import parse, router_of
from batchrouter.domain.lane_choice import LaneOptions, Mode
from batchrouter.domain.origin import Origin
from batchrouter.domain.shard import LaneKey, LaneMode
from batchrouter.errors import ConfigError, LineRefused
from batchrouter.ports.transport import LinkSettings
from batchrouter.providers.anthropic import AnthropicWire, facts_of
from batchrouter.providers.job_lines import AnthropicLines, MistralLines, OpenAILines

T = TypeVar("T")
CHAT = "/v1/chat/completions"


class Links:
    """A `Transport` that only notes what was asked of it."""

    def __init__(self) -> None:
        self.asked: list[tuple[Origin, LinkSettings]] = []

    def link(self, origin: Origin, settings: LinkSettings) -> Any:
        self.asked.append((origin, settings))
        return object()

    async def aclose(self) -> None: ...


class NoPrices:
    async def cards(self, keys: Any) -> list[None]:
        return [None for _ in keys]


def with_upstreams(text: str, look: Callable[[ConfiguredUpstreams, Links], T], listing: Any = None) -> T:
    """`look` at what this configuration makes, inside an event loop."""

    async def made() -> T:
        async def nothing(provider: str) -> list[Any]:
            return []

        config, links, clock = parse(text, {}, "x"), Links(), StepClock()
        facts = ModelFacts(listing or nothing, clock)
        upstreams = ConfiguredUpstreams(config, router_of(config), links, 1000, NoPrices(), facts, clock, {})
        try:
            return look(upstreams, links)
        finally:
            await facts.aclose()

    return asyncio.run(made())


def provider(settings: str) -> str:
    return f"providers: {{a: {{{settings}}}}}"


POOL = provider(
    "base_url: 'http://h/v1', rpm: 60, batch: {enabled: true}, keys: [{name: one, api_key: k1}, "
    "{name: two, api_key: k2, rpm: 120, batch: false, base_url: 'http://eu/v1', headers: {x-org: o}}]"
)


def test_a_lane_has_a_member_for_each_key() -> None:
    """Each with its own address, key, pace and connections."""

    def look(upstreams: ConfiguredUpstreams, links: Links) -> None:
        members = upstreams.lane(LaneKey("a", "m")).members
        assert [(each.name, each.pacing.rpm, each.wire.origin.host) for each in members] == [
            ("one", 60, "h"),
            ("two", 120, "eu"),
        ]
        heads = [each.wire.head(CHAT) for each in members]
        assert b"Bearer k1\r\n" in heads[0]
        assert b"Bearer k2\r\n" in heads[1]
        assert b"x-org: o\r\n" in heads[1]
        assert b"x-org" not in heads[0]
        upstreams.lane(LaneKey("a", "m", mode=LaneMode.FLEX))
        assert len({settings.name for _, settings in links.asked}) == 4

    with_upstreams(POOL, look)


def test_jobs_run_under_the_first_key_that_may() -> None:
    """And where there is none that may, or no batch API, there is no such lane."""
    turned = POOL.replace("api_key: k1", "api_key: k1, batch: false").replace("batch: false, base_url", "base_url")
    for text, key in ((POOL, b"k1"), (turned, b"k2")):
        setup = with_upstreams(text, lambda upstreams, _: upstreams.native(LaneKey("a", "m", mode=LaneMode.BATCH)))
        assert b"Bearer " + key in setup.wire.head(CHAT)
        assert setup.facts.dialect == "openai"
    for text in (provider("base_url: 'http://h/v1'"), provider("type: xai, api_key: k")):
        with pytest.raises(ConfigError, match="has no batch API that may be used"):
            with_upstreams(text, lambda upstreams, _: upstreams.native(LaneKey("a", "m")))


@pytest.mark.parametrize(
    ("type_", "api", "lines"),
    [
        ("openai", OpenAIBatches, OpenAILines),
        ("gemini", OpenAIBatches, OpenAILines),
        ("together", OpenAIBatches, OpenAILines),
        ("mistral", MistralJobs, MistralLines),
        ("anthropic", AnthropicBatches, AnthropicLines),
    ],
)
def test_every_batch_api_finds_its_adapter_and_its_lines(type_: str, api: type, lines: type) -> None:
    """By the host's row."""
    text = provider(f"type: {type_}, api_key: k")
    setup = with_upstreams(text, lambda upstreams, _: upstreams.native(LaneKey("a", "m", mode=LaneMode.BATCH)))
    assert isinstance(setup.api, api)
    assert isinstance(setup.lines, lines)


@pytest.mark.parametrize(
    ("settings", "mode", "timeout_s", "silence_s"),
    [
        ("type: openai, api_key: k", LaneMode.REALTIME, 600, None),
        ("type: openai, api_key: k, service_tier: flex", LaneMode.FLEX, 900, None),
        ("type: openai, api_key: k, service_tier: flex, timeout: 60", LaneMode.FLEX, 60, None),
        ("type: anthropic, api_key: k", LaneMode.REALTIME, 3600, 600),
    ],
)
def test_how_long_a_call_may_take(settings: str, mode: LaneMode, timeout_s: float, silence_s: float | None) -> None:
    """Longer where an answer is streamed or cheap; as the configuration says, if it does."""

    def look(upstreams: ConfiguredUpstreams, links: Links) -> tuple[float, float | None]:
        upstreams.lane(LaneKey("a", "o3", mode=mode))
        return links.asked[0][1].request_timeout_s, links.asked[0][1].silence_timeout_s

    assert with_upstreams(provider(settings), look) == (timeout_s, silence_s)


def test_a_flex_lane_asks_for_its_tier() -> None:
    """And a real-time lane of the same model does not."""

    def look(upstreams: ConfiguredUpstreams, _: Links) -> None:
        text = b'{"model":"o3"}'
        for mode, tier in ((LaneMode.FLEX, "flex"), (LaneMode.REALTIME, None)):
            wire = upstreams.lane(LaneKey("a", "o3", mode=mode)).members[0].wire
            assert json.loads(wire.encode(CHAT, text).body).get("service_tier") == tier

    with_upstreams(provider("type: openai, api_key: k, service_tier: flex"), look)


def test_what_the_configuration_wishes_of_anthropic_reaches_its_wire() -> None:
    """The limit of answers, and what becomes of parameters that it does not know."""

    def look(upstreams: ConfiguredUpstreams, _: Links) -> None:
        member = upstreams.lane(LaneKey("a", "claude-sonnet-4-5")).members[0]
        head = member.wire.head(CHAT)
        assert head.startswith(b"POST /v1/messages HTTP/1.1\r\n")
        assert b"x-api-key: k\r\n" in head
        encoded = member.wire.encode(CHAT, b'{"messages":[{"role":"user","content":"x"}],"n":3}')
        assert json.loads(encoded.body)["max_tokens"] == 321
        assert encoded.dropped == ("n",)

    with_upstreams(provider("type: anthropic, api_key: k, max_tokens: 321, unsupported: drop"), look)


def test_what_the_configuration_wishes_of_parameters_reaches_the_openai_wire() -> None:
    """As it reaches Anthropic's."""

    def look(upstreams: ConfiguredUpstreams, _: Links) -> tuple[str, ...]:
        return upstreams.lane(LaneKey("a", "m")).members[0].wire.encode(CHAT, b'{"model":"m","n":2}').dropped

    assert with_upstreams(provider("type: groq, api_key: k, unsupported: drop"), look) == ("n",)
    with pytest.raises(LineRefused):
        with_upstreams(provider("type: groq, api_key: k"), look)


def test_what_has_no_real_time_is_never_too_slow_in_it() -> None:
    """Else its jobs would be cancelled for a lane that does not exist."""
    text = provider("type: batchrouter, base_url: 'http://h'")
    options = with_upstreams(text, lambda upstreams, _: upstreams.options("a", "m"))
    assert (options.mode, options.batch) == (Mode.BATCH, True)
    assert options.rate > 1e6


def test_options_are_what_the_configuration_says() -> None:
    """Of a provider without a batch API, of one with it, and of one whose rate is known."""

    def options(settings: str, model: str = "m") -> LaneOptions:
        return with_upstreams(provider(settings), lambda upstreams, _: upstreams.options("a", model))

    assert options("base_url: 'http://h/v1'") == LaneOptions(discount=0.0)
    asked = options(
        "type: openai, api_keys: [k, l], rpm: 120, mode: batch, service_tier: flex, "
        "batch: {min_requests: 7, min_time: 2h, discount: 0.25, endpoints: [/v1/embeddings]}",
        "o3",
    )
    assert asked == LaneOptions(
        mode=Mode.BATCH,
        batch=True,
        flex=True,
        endpoints=("/v1/embeddings",),
        discount=0.25,
        min_requests=7,
        min_time_s=7200.0,
        rate=4.0,
    )
    with pytest.raises(ConfigError, match="'gone' is no longer configured"):
        with_upstreams(provider("type: vllm"), lambda upstreams, _: upstreams.options("gone", "m"))


@pytest.mark.parametrize(
    ("settings", "source"),
    [
        ("type: openai, api_key: k", PriceSource("openai", 0.5)),
        ("type: gemini, api_key: k", PriceSource("google", 0.5)),
        ("type: xai, api_key: k", PriceSource("x-ai", None)),
        ("type: openai, api_key: k, batch: {enabled: false}", PriceSource("openai", None)),
        ("type: openai, api_key: k, batch: {enabled: false}, service_tier: flex", PriceSource("openai", 0.5)),
        ("base_url: 'http://h/v1'", PriceSource()),
        (
            "base_url: 'http://h/v1', price_as: deepseek, batch: {enabled: true, discount: 0.2}",
            PriceSource("deepseek", 0.8),
        ),
        (
            "type: openai, api_key: k, prices: {'a*': {input: 1, output: 2, cached: 0.5, written: 1.25}, "
            "'*': {input: 0, output: 0, batch_discount: 0}}",
            PriceSource(
                "openai",
                0.5,
                (OwnPrice("a*", 1, 2, 0.5, 1.25, 0.5), OwnPrice("*", 0, 0, None, None, 1.0)),
            ),
        ),
    ],
)
def test_where_prices_are_from(settings: str, source: PriceSource) -> None:
    """The host's name in the list, the configuration's own first, and what a discount leaves."""
    assert price_sources(parse(provider(settings), {}, "x"))["a"] == source


def test_limits_of_batches_reach_who_keeps_them() -> None:
    """In the units that they count in."""
    config = parse("batches: {max_cost: 12.5, overtake_margin: 20m, cancel_wait: 5m, pause_after_failures: 7}", {}, "x")
    assert service_limits(config).max_cost_nano == 12_500_000_000
    assert service_limits(parse("", {}, "x")).max_cost_nano is None
    settings = engine_settings(config, alone=True, bucket=False)
    assert (settings.overtake_margin_s, settings.cancel_wait_s, settings.pause_after_failures) == (1200.0, 300.0, 7)


@pytest.mark.parametrize(
    ("type_", "headers", "paged"),
    [
        ("openai", {"authorization": "Bearer k", "x-a": "b"}, False),
        ("azure, base_url: 'https://r.openai.azure.com'", {"api-key": "k", "x-a": "b"}, False),
        ("anthropic", {"anthropic-version": "2023-06-01", "x-api-key": "k", "x-a": "b"}, True),
    ],
)
def test_lists_are_asked_for_with_the_host_s_headers(type_: str, headers: dict[str, str], paged: bool) -> None:
    """As lines are sent."""
    upstream = upstreams_of(parse(provider(f"type: {type_}, api_key: k, headers: {{X-A: b}}"), {}, "x"))["a"]
    assert (upstream.headers, upstream.paged) == (headers, paged)


# --- facts of models ------------------------------------------------------------------------------------------------

ENTRY = {"id": "claude-sonnet-4-5-20250929", "type": "model", "max_tokens": 777}


class Listing:
    """Tells `entries`, and counts how often it was asked."""

    def __init__(self) -> None:
        self.entries: list[Any] = []
        self.asked: list[str] = []

    async def __call__(self, provider: str) -> list[Any]:
        self.asked.append(provider)
        return self.entries


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_facts_of_models_are_refreshed_by_the_hour() -> None:
    """Wires that are in use learn them, by the name that lines use; a list that fails changes nothing."""
    clock, listing = StepClock(), Listing()
    facts = ModelFacts(listing, clock)
    wire = AnthropicWire("http://h/v1", "claude-sonnet-4-5")
    facts.tell("a", "claude-sonnet-4-5", wire.learn)
    facts.tell("a", "claude-opus-5", AnthropicWire("http://h/v1", "claude-opus-5").learn)
    await settled()
    assert listing.asked == ["a"]
    assert facts.of("a", "claude-sonnet-4-5") is None
    listing.entries = [ENTRY, {"odd": 1}, ENTRY | {"id": "claude-sonnet-4-5-20240101", "max_tokens": 1}]
    clock.advance(EVERY_S + 1)
    await settled()
    assert listing.asked == ["a", "a"]
    told = facts.of("a", "claude-sonnet-4-5")
    assert told is not None
    assert told.max_output == 777
    assert told.prefill is facts_of("claude-sonnet-4-5").prefill
    assert wire._facts is told
    assert facts.of("a", "claude-sonnet-4") is None
    listing.entries = []
    clock.advance(EVERY_S + 1)
    await settled()
    assert facts.of("a", "claude-sonnet-4-5") == told
    await facts.aclose()


async def test_a_wire_that_is_gone_is_forgotten() -> None:
    """Nothing is kept for lanes that nobody uses."""
    facts = ModelFacts(Listing(), StepClock())
    for _ in range(5):
        facts.tell("a", "m", AnthropicWire("http://h/v1", "m").learn)
    assert len(facts._told["a"]) <= 1
    await facts.aclose()
