"""Limits as each provider enforces and tells them, waves, ramps, and what all of that lets through at best."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest

from batchrouter.simulator import Script, expected_key
from batchrouter.simulator.allowance import allowed, mean_latency_s
from batchrouter.simulator.anthropic.surface import VERSION
from batchrouter.simulator.behaviour import Behaviour
from batchrouter.simulator.dialects import GEMINI_QUOTAS, rfc3339, seconds_of
from batchrouter.simulator.limits import LimitGate, Spent, costs_of
from batchrouter.simulator.reply import Reply
from batchrouter.simulator.request import Request
from batchrouter.simulator.script import Capacity, Fixed, LimitDialect, Limits, LogNormal, Ramp, Uniform, Waves

CHAT = "/v1/chat/completions"
UNIX_S = 1_790_000_000.0


def chat(path: str = CHAT, text: str = "hi") -> Request:
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]}).encode()
    return Request("POST", path, expected_key(body), body)


def message(system: Any = "", text: str = "hi") -> Request:
    messages = [{"role": "user", "content": text}]
    body = json.dumps({"model": "claude-opus-4-8", "max_tokens": 99, "system": system, "messages": messages}).encode()
    return Request("POST", "/v1/messages", expected_key(body), body, headers=[(VERSION.encode(), b"2023-06-01")])


class Sim:
    """A behaviour with its clock at 0."""

    def __init__(self, **script: Any) -> None:
        self.behaviour = Behaviour(Script(**script), (), 0.0, lambda: UNIX_S)

    def ask(self, asked: Request | None = None, *, in_flight: int = 1, now_s: float = 0.0) -> Reply:
        return self.behaviour.decide(asked or chat(), in_flight, now_s)


def told(reply: Reply) -> dict[str, str]:
    return {name: value for name, value in reply.headers if name not in ("request-id", "x-request-id")}


def error(reply: Reply) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(reply.body)["error"]
    return found


def twice(dialect: LimitDialect, asked: Request | None = None, **limits: Any) -> tuple[Reply, Reply]:
    """What is answered, and what is refused after it."""
    sim = Sim(limits=Limits(dialect=dialect, **limits))
    first, second = sim.ask(asked), sim.ask(asked)
    assert (first.status, second.status) == (200, 429)
    return first, second


# --- what is counted ------------------------------------------------------------------------------------------------


def test_input_and_output_are_charged_apart_and_a_cache_is_not_charged() -> None:
    costs = costs_of(Spent(input=100, output=7, cached=60))
    assert (costs["input-tokens"], costs["output-tokens"], costs["tokens"]) == (40, 7, 107)
    gate = LimitGate(Limits(itpm=6000, otpm=600, burst_s=1), 0.0)
    assert gate.take(Spent(90, 11), 0.0) == ("output-tokens", float("inf"))
    assert gate.take(Spent(90, 10), 0.0) == ("", 0.0)
    assert gate.take(Spent(20, 0), 0.0) == ("input-tokens", pytest.approx(0.1))
    assert gate.take(Spent(20, 0, cached=15), 0.0) == ("", 0.0)


def test_what_the_prompt_cache_gave_is_not_charged_on_the_wire_either() -> None:
    system = [{"type": "text", "text": "a" * 4000, "cache_control": {"type": "ephemeral"}}]
    sim = Sim(limits=Limits(itpm=1100, dialect="anthropic"))
    assert [sim.ask(message(system, text)).status for text in "abc"] == [200, 200, 200]
    assert Sim(limits=Limits(itpm=1000)).ask(message(system)).status == 429


def test_a_day_has_a_bucket_of_its_own_that_starts_full() -> None:
    sim = Sim(limits=Limits(rpd=100, burst_s=1))
    assert [sim.ask().status for _ in range(101)] == [200] * 100 + [429]
    assert sim.ask(now_s=863).status == 429
    assert sim.ask(now_s=864).status == 200
    tokens = sum(costs_of(Spent(5, 5))[name] for name in ("tokens-per-day",))
    assert LimitGate(Limits(tpd=tokens), 0.0).take(Spent(5, 5), 0.0)[0] == ""


# --- dialects -------------------------------------------------------------------------------------------------------


def test_openai_tells_tokens_of_the_project_too() -> None:
    first, second = twice("openai", rpm=1, tpm=6000)
    assert told(first)["x-ratelimit-reset-requests"] == "1m0s"
    assert told(first)["x-ratelimit-remaining-project-tokens"] == told(first)["x-ratelimit-remaining-tokens"]
    assert told(second)["retry-after"] == "60"
    assert (error(second)["type"], error(second)["code"]) == ("requests", "rate_limit_exceeded")


def test_azure_tells_milliseconds() -> None:
    first, second = twice("azure", rpm=1, burst_s=0.5)
    assert set(told(first)) == {"x-ratelimit-limit-requests", "x-ratelimit-remaining-requests"}
    assert (told(second)["retry-after-ms"], told(second)["retry-after"]) == ("60000", "60")
    assert error(second)["code"] == "RateLimitReached"


def test_anthropic_tells_times_and_rounds_tokens() -> None:
    first, second = twice("anthropic", message(), rpm=1, itpm=40_400, otpm=8_000)
    assert told(first)["anthropic-ratelimit-requests-reset"] == rfc3339(UNIX_S + 60)
    assert told(first)["anthropic-ratelimit-input-tokens-limit"] == "40400"
    assert told(first)["anthropic-ratelimit-input-tokens-remaining"] == "40000"
    assert told(first)["anthropic-ratelimit-tokens-remaining"] == "48000"
    assert told(second)["retry-after"] == "60"
    assert error(second)["type"] == "rate_limit_error"
    both = told(Sim(limits=Limits(tpm=9_000, itpm=5_000, otpm=5_000)).ask(message()))
    assert both["anthropic-ratelimit-tokens-limit"] == "9000"


def test_groq_tells_requests_of_a_day_and_tokens_of_a_minute() -> None:
    sim = Sim(limits=Limits(dialect="groq", rpm=5, rpd=14_400, tpm=18_000))
    replies = [sim.ask() for _ in range(6)]
    assert told(replies[4])["x-ratelimit-limit-requests"] == "14400"
    assert told(replies[4])["x-ratelimit-remaining-requests"] == "14395"
    assert told(replies[4])["x-ratelimit-reset-requests"] == "30s"
    assert told(replies[4])["x-ratelimit-limit-tokens"] == "18000"
    assert told(replies[5])["retry-after"] == "12"


@pytest.mark.parametrize(
    ("limit", "word"), [({"rpm": 1}, "PerMinute"), ({"rpd": 1}, "PerDay"), ({"tpd": 25}, "PerDay")]
)
def test_gemini_tells_all_in_the_body(limit: dict[str, float], word: str) -> None:
    first, second = twice("gemini", **limit)
    assert told(first) == told(second) == {}
    (wrapped,) = json.loads(second.body)
    details = {one["@type"].rpartition(".")[2]: one for one in wrapped["error"]["details"]}
    (violation,) = details["QuotaFailure"]["violations"]
    assert word in violation["quotaId"]
    assert violation["quotaDimensions"]["model"] == "m"
    assert details["RetryInfo"]["retryDelay"].endswith("s")
    assert (wrapped["error"]["code"], wrapped["error"]["status"]) == (429, "RESOURCE_EXHAUSTED")


def test_every_limit_has_a_quota_of_gemini_s() -> None:
    gate = LimitGate(Limits(rpm=1, tpm=1, itpm=1, otpm=1, rpd=1, tpd=1), 0.0)
    assert set(gate.buckets) | {"ramp"} == set(GEMINI_QUOTAS)


@pytest.mark.parametrize(
    ("limit", "type"), [({"rpm": 1}, "dynamic_request_limited"), ({"tpm": 25}, "dynamic_token_limited")]
)
def test_together_tells_a_refusal_only(limit: dict[str, float], type: str) -> None:
    first, second = twice("together", **limit)
    assert told(first) == {}
    assert list(told(second)) == ["x-ratelimit-reset"]
    assert error(second)["type"] == type


def test_some_tell_nothing() -> None:
    first, second = twice("none", rpm=1)
    assert told(first) == told(second) == {}
    assert error(second)["code"] == "rate_limit_exceeded"


@pytest.mark.parametrize(("asked", "name"), [(chat(), "x-ratelimit-"), (message(), "anthropic-ratelimit-")])
def test_by_itself_each_api_tells_limits_in_its_own_dialect(asked: Request, name: str) -> None:
    headers = told(Sim(limits=Limits(rpm=1)).ask(asked))
    assert headers
    assert all(header.startswith(name) for header in headers)


@pytest.mark.parametrize("dialect", get_args(LimitDialect))
def test_what_can_never_fit_is_told_no_time_to_wait(dialect: LimitDialect) -> None:
    for asked in (chat(), message()):
        reply = Sim(limits=Limits(tpm=1, dialect=dialect)).ask(asked)
        assert reply.status == 429
        assert b"retryDelay" not in reply.body
        assert not {"retry-after", "retry-after-ms", "x-ratelimit-reset"} & set(told(reply))


def test_durations_of_google_are_seconds() -> None:
    assert [seconds_of(value) for value in (17, 3.7, 0.0004, 52_758)] == ["17s", "3.7s", "0.001s", "52758s"]


def test_a_moment_is_told_in_whole_seconds_and_never_too_early() -> None:
    assert rfc3339(0.2) == "1970-01-01T00:00:01Z"


# --- ramps ----------------------------------------------------------------------------------------------------------


def test_usage_may_not_outgrow_the_ramp() -> None:
    sim = Sim(limits=Limits(ramp=Ramp(start=2, factor=2, window_s=10)))
    admitted = [sum(sim.ask(now_s=now_s).status == 200 for _ in range(20)) for now_s in (0, 10, 20, 30, 50)]
    assert admitted == [2, 4, 8, 16, 2]
    refused = sim.ask(message(), now_s=54)
    assert error(refused)["details"] == {"error_code": "ramp_limit_exceeded"}
    assert dict(refused.headers)["retry-after"] == "6"


def test_what_the_ramp_refuses_is_charged_to_no_bucket() -> None:
    gate = LimitGate(Limits(rpm=60, ramp=Ramp(start=1)), 0.0)
    assert [gate.take(Spent(1, 1), 0.0)[0] for _ in range(3)] == ["", "ramp", "ramp"]
    assert gate.buckets["requests"].level == 59


# --- waves ----------------------------------------------------------------------------------------------------------


def test_in_a_wave_everything_is_refused_and_nothing_is_charged() -> None:
    sim = Sim(waves=Waves(every_s=60, for_s=15, retry_after_s=5), limits=Limits(rpm=1))
    assert [sim.ask(now_s=now_s).status for now_s in (45, 59.9, 44.9, 60, 105, 119, 120)] == [
        529, 529, 200, 429, 529, 529, 200,
    ]  # fmt: skip
    refused = sim.ask(message(), now_s=45)
    assert (error(refused)["type"], dict(refused.headers)["retry-after"]) == ("overloaded_error", "5")
    assert error(sim.ask(now_s=45))["code"] == "overloaded"


def test_a_wave_can_leave_a_part_of_the_capacity() -> None:
    capacity = Capacity(in_flight=4, reject_above=8)
    sim = Sim(capacity=capacity, waves=Waves(every_s=10, for_s=5, fraction=0.5, status=503), latency=Fixed(1.0))
    assert [sim.ask(in_flight=number, now_s=5).status for number in (4, 5)] == [200, 503]
    assert [sim.ask(in_flight=number, now_s=4).status for number in (8, 9)] == [200, 429]
    assert [sim.ask(in_flight=4, now_s=now_s).delay_s for now_s in (4, 5)] == [1.0, 2.0]


# --- what is allowed at best ----------------------------------------------------------------------------------------

COST = Spent(80, 20)


def greedy(script: Script, seconds: float) -> int:
    """A client that asks a thousand times a second, never with more in flight than is served at full speed."""
    gate = LimitGate(script.limits, 0.0) if script.limits else None
    latency_s = mean_latency_s(script)
    most = script.capacity.in_flight if script.capacity else 10**9
    ends: list[float] = []
    done = 0
    for tick in range(int(seconds * 1000)):
        now_s = tick / 1000
        ends = [end for end in ends if end > now_s]
        in_wave = script.waves is not None and script.waves.at(now_s)
        room = most * (script.waves.fraction if in_wave and script.waves else 1.0)
        while len(ends) < room and (gate is None or not gate.take(COST, now_s)[0]):
            ends.append(now_s + latency_s)
            done += 1
    return done


@pytest.mark.parametrize(
    "script",
    [
        Script(limits=Limits(rpm=6000, burst_s=1)),
        Script(limits=Limits(tpm=300_000, rpm=6000, burst_s=2)),
        Script(limits=Limits(itpm=300_000, otpm=60_000)),
        Script(limits=Limits(rpm=6000, burst_s=1), waves=Waves(every_s=5, for_s=3)),
        Script(capacity=Capacity(in_flight=10), latency=Fixed(0.1), waves=Waves(every_s=4, for_s=1, fraction=0.5)),
        Script(capacity=Capacity(in_flight=10), latency=Fixed(0.1), limits=Limits(rpm=3000, burst_s=1)),
    ],
    ids=["requests", "tokens", "apart", "waves", "capacity in waves", "both"],
)
def test_a_client_that_wastes_nothing_gets_what_is_allowed(script: Script) -> None:
    assert greedy(script, 20) == pytest.approx(allowed(script, 20, COST), rel=0.02)


def test_nothing_bounds_an_empty_script_and_nothing_passes_what_never_fits() -> None:
    assert allowed(Script(), 60, COST) == float("inf")
    assert allowed(Script(limits=Limits(tpm=60)), 60, COST) == 0


def test_latencies_have_a_mean() -> None:
    kinds = (Fixed(2.0), Uniform(1.0, 3.0), LogNormal(median=2.0, sigma=0.0))
    assert [mean_latency_s(Script(latency=kind)) for kind in kinds] == [2.0, 2.0, 2.0]
