"""A script at work, without a socket and with a clock that the test moves."""

from __future__ import annotations

import gzip
import json
import statistics
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from batchrouter.simulator import Match, Rule, Script, Then, answer, expected_key
from batchrouter.simulator.behaviour import Behaviour
from batchrouter.simulator.dialects import go_duration
from batchrouter.simulator.reply import Reply
from batchrouter.simulator.request import Request
from batchrouter.simulator.script import Capacity, Fixed, Limits, LogNormal, Uniform
from batchrouter.simulator.shapes import HTML

CHAT = "/v1/chat/completions"
UNIX_S = 1_790_000_000.0


def request(text: str = "hi", model: str = "m", path: str = CHAT) -> Request:
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": text}]}).encode()
    return Request("POST", path, expected_key(body), body)


class Sim:
    """A behaviour with its clock at 0."""

    def __init__(self, *rules: Rule, models: tuple[str, ...] = (), **script: Any) -> None:
        self.behaviour = Behaviour(Script(rules=rules, **script), models, 0.0, lambda: UNIX_S)

    def ask(self, asked: Request | None = None, *, in_flight: int = 1, now_s: float = 0.0) -> Reply:
        return self.behaviour.decide(asked or request(), in_flight, now_s)

    def statuses(self, count: int) -> list[int]:
        return [self.ask().status for _ in range(count)]


def error(reply: Reply) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(reply.body)["error"]
    return told


FAIL = Then(status=500)


def test_without_a_script_everything_is_answered_at_once() -> None:
    asked = request()
    reply = Sim().ask(asked)
    assert (reply.status, reply.body, reply.delay_s, reply.fault) == (200, answer(CHAT, asked.body), 0.0, "")


# --- latency --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("latency", [Uniform(0.2, 0.4), LogNormal(0.3, 0.5, 2.0)])
def test_latency_follows_from_body_and_seed(latency: Any) -> None:
    first, again, other = (Sim(latency=latency, seed=seed).ask().delay_s for seed in (1, 1, 2))
    assert first == again != other


def test_latencies_have_the_distribution_asked_for() -> None:
    asked = [request(str(number)) for number in range(2000)]
    uniform, normal = Sim(latency=Uniform(0.2, 0.4)), Sim(latency=LogNormal(0.3, 0.5, 2.0))
    even = [uniform.ask(one).delay_s for one in asked]
    skewed = [normal.ask(one).delay_s for one in asked]
    assert 0.2 <= min(even) < 0.21
    assert 0.39 < max(even) <= 0.4
    assert statistics.mean(even) == pytest.approx(0.3, abs=0.01)
    assert statistics.median(skewed) == pytest.approx(0.3, rel=0.1)
    assert max(skewed) <= 2.0
    assert statistics.quantiles(skewed, n=100)[83] == pytest.approx(0.3 * 2.718**0.5, rel=0.15)


# --- capacity -------------------------------------------------------------------------------------------------------


def test_beyond_its_capacity_it_slows_down_in_proportion_and_then_refuses() -> None:
    sim = Sim(latency=Fixed(1.0), capacity=Capacity(in_flight=4, reject_above=8, reject_status=503, retry_after_s=2))
    assert [sim.ask(in_flight=n).delay_s for n in (1, 4, 6, 8)] == [1.0, 1.0, 1.5, 2.0]
    refused = sim.ask(in_flight=9)
    assert (refused.status, refused.delay_s, refused.headers) == (503, 0.0, [("retry-after", "2")])
    assert error(refused)["code"] == "overloaded"


# --- limits ---------------------------------------------------------------------------------------------------------


def test_a_request_limit_is_enforced_told_and_refills() -> None:
    sim = Sim(limits=Limits(rpm=60, burst_s=2))
    replies = [sim.ask() for _ in range(3)]
    assert [reply.status for reply in replies] == [200, 200, 429]
    told = dict(replies[1].headers)
    assert told["x-ratelimit-limit-requests"] == "60"
    assert told["x-ratelimit-remaining-requests"] == "0"
    assert told["x-ratelimit-reset-requests"] == "2s"
    assert dict(replies[2].headers)["retry-after"] == "1"
    assert (error(replies[2])["type"], error(replies[2])["code"]) == ("requests", "rate_limit_exceeded")
    assert sim.ask(now_s=1.0).status == 200
    assert sim.ask(now_s=1.5).status == 429


def test_a_token_limit_charges_prompt_and_completion() -> None:
    used = Sim().ask()
    cost = used.prompt_tokens + used.completion_tokens
    sim = Sim(limits=Limits(tpm=cost * 60, burst_s=2.5))
    replies = [sim.ask() for _ in range(3)]
    assert [reply.status for reply in replies] == [200, 200, 429]
    assert dict(replies[0].headers)["x-ratelimit-remaining-tokens"] == str(int(1.5 * cost))
    assert error(replies[2])["type"] == "tokens"


def test_a_refused_request_is_charged_to_neither_limit() -> None:
    sim = Sim(limits=Limits(rpm=600, tpm=60, burst_s=1))
    first = sim.ask()
    assert first.status == 429
    assert dict(first.headers)["x-ratelimit-remaining-requests"] == "10"


def test_a_request_that_can_never_fit_is_told_no_time_to_wait() -> None:
    reply = Sim(limits=Limits(tpm=60, burst_s=1)).ask()
    assert reply.status == 429
    assert "too large" in error(reply)["message"]
    assert "retry-after" not in dict(reply.headers)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0ms"), (0.12, "120ms"), (1, "1s"), (7.66, "7.66s"), (360, "6m0s"), (179.56, "2m59.56s"), (3661, "1h1m1s")],
)
def test_durations_are_written_as_openai_does(seconds: float, text: str) -> None:
    assert go_duration(seconds) == text


@pytest.mark.parametrize(
    ("dialect", "name", "value"), [("seconds", "retry-after", "2"), ("ms", "retry-after-ms", "1500")]
)
def test_retry_after_speaks_the_dialect_asked_for(dialect: str, name: str, value: str) -> None:
    sim = Sim(Rule(then=Then(status=429, retry_after_s=1.5)), retry_after=dialect)
    assert sim.ask().headers == [(name, value)]


def test_retry_after_can_be_a_date() -> None:
    sim = Sim(Rule(then=Then(status=429, retry_after_s=30)), retry_after="http-date")
    assert parsedate_to_datetime(dict(sim.ask().headers)["retry-after"]).timestamp() == UNIX_S + 30


# --- rules ----------------------------------------------------------------------------------------------------------


def test_the_first_rule_that_matches_decides_alone() -> None:
    sim = Sim(Rule(match=Match(contains="poison"), then=FAIL), Rule(then=Then(status=429)))
    assert sim.ask(request("poison")).status == 500
    assert sim.ask(request("honey")).status == 429


@pytest.mark.parametrize(
    ("match", "hits"),
    [
        (Match(every=3), [200, 200, 500, 200, 200, 500]),
        (Match(first=2), [500, 500, 200, 200, 200, 200]),
        (Match(first=4, every=2), [200, 500, 200, 500, 200, 200]),
        (Match(first_tries=1), [500, 200, 200, 200, 200, 200]),
    ],
)
def test_a_rule_can_count(match: Match, hits: list[int]) -> None:
    assert Sim(Rule(match=match, then=FAIL)).statuses(6) == hits


def test_first_tries_counts_each_body_by_itself() -> None:
    sim = Sim(Rule(match=Match(first_tries=1), then=FAIL))
    assert [sim.ask(request(text)).status for text in ("a", "b", "a", "b")] == [500, 500, 200, 200]


def test_a_rule_counts_only_what_fits_its_other_members() -> None:
    sim = Sim(Rule(match=Match(model="gpt-*", every=2), then=FAIL))
    asked = ["gpt-a", "llama", "llama", "gpt-b", "gpt-a"]
    assert [sim.ask(request(model=model)).status for model in asked] == [200, 200, 200, 500, 200]


def test_a_rule_can_be_bound_to_a_path_and_to_a_time() -> None:
    sim = Sim(Rule(match=Match(path="/v1/chat/*", after_s=10, until_s=20), then=FAIL))
    assert [sim.ask(now_s=now_s).status for now_s in (9.9, 10, 19.9, 20)] == [200, 500, 500, 200]
    assert sim.ask(request(path="/v1/nowhere"), now_s=15).status == 404


def test_an_error_has_openai_s_shape_and_the_code_asked_for() -> None:
    rule = Rule(then=Then(status=429, code="insufficient_quota", type="insufficient_quota", message="No credit."))
    assert error(Sim(rule).ask()) == {
        "message": "No credit.",
        "type": "insufficient_quota",
        "param": None,
        "code": "insufficient_quota",
    }


def test_a_body_can_be_given_as_text_or_as_json() -> None:
    assert Sim(Rule(then=Then(status=502, body="oops"))).ask().body == b"oops"
    told = Sim(Rule(then=Then(body={"a": [1]}))).ask()
    assert (told.status, told.body) == (200, b'{"a":[1]}')


def test_a_rule_that_only_delays_leaves_the_answer_alone() -> None:
    asked = request()
    reply = Sim(Rule(then=Then(delay_s=3, headers={"X-A": "b"})), latency=Fixed(1)).ask(asked)
    assert (reply.status, reply.body, reply.delay_s, reply.headers) == (
        200,
        answer(CHAT, asked.body),
        3,
        [("X-A", "b")],
    )


def test_a_rule_without_status_still_meets_the_models_and_the_limits() -> None:
    sim = Sim(Rule(then=Then(delay_s=1)), models=("gpt-*",))
    assert sim.ask().status == 404


# --- models and methods ---------------------------------------------------------------------------------------------


def test_only_the_models_in_the_list_are_served() -> None:
    sim = Sim(models=("gpt-*", "llama"))
    assert [sim.ask(request(model=model)).status for model in ("gpt-9", "llama", "llama-2")] == [200, 200, 404]
    assert error(sim.ask(request(model="x")))["code"] == "model_not_found"


def test_the_list_of_models_needs_no_model_but_obeys_the_rules() -> None:
    asked = Request("GET", "/v1/models", expected_key(b""), b"")
    listed = json.loads(Sim(models=("gpt-*", "llama")).ask(asked).body)["data"]
    assert [model["id"] for model in listed] == ["llama"]
    assert Sim(Rule(match=Match(path="/v1/models"), then=FAIL)).ask(asked).status == 500


def test_another_method_is_refused() -> None:
    assert Sim().ask(Request("GET", CHAT, expected_key(b""), b"")).status == 405


# --- shapes ---------------------------------------------------------------------------------------------------------


def shaped(shape: Any, size: int | None = None) -> tuple[Reply, bytes]:
    asked = request()
    return Sim(Rule(then=Then(shape=shape, size=size))).ask(asked), answer(CHAT, asked.body)


@pytest.mark.parametrize("shape", ["pretty", "crlf"])
def test_an_indented_answer_says_the_same(shape: str) -> None:
    reply, plain = shaped(shape)
    assert (b"\r\n  " if shape == "crlf" else b"\n  ") in reply.body
    assert json.loads(reply.body) == json.loads(plain)


def test_a_zipped_answer_says_so_and_says_the_same() -> None:
    reply, plain = shaped("gzip")
    assert reply.headers == [("content-encoding", "gzip")]
    assert gzip.decompress(reply.body) == plain


def test_line_separators_stand_raw_in_a_string() -> None:
    reply, plain = shaped("u2028")
    told = json.loads(reply.body)
    assert told.pop("simulated") == "one\u2028two\u2029three\u0085four"
    assert told == json.loads(plain)
    assert "\u2028" in reply.body.decode()


def test_a_huge_answer_has_the_size_asked_for() -> None:
    reply, _ = shaped("huge", 5000)
    assert len(reply.body) == 5000
    assert json.loads(reply.body)["object"] == "chat.completion"


def test_a_deep_answer_has_the_depth_asked_for() -> None:
    reply, _ = shaped("deep", 50)
    assert b'"simulated":' + b"[" * 50 + b"]" * 50 in reply.body


def test_invalid_text_is_no_utf8_and_nan_no_json() -> None:
    with pytest.raises(UnicodeDecodeError):
        shaped("invalid_utf8")[0].body.decode()
    assert b'"simulated":NaN}' in shaped("nan")[0].body


def test_html_and_nothing() -> None:
    page, nothing = shaped("html")[0], shaped("empty")[0]
    assert (page.body, page.headers) == (HTML, [("content-type", "text/html; charset=utf-8")])
    assert (nothing.status, nothing.body) == (200, b"")


def test_a_shape_fits_an_error_and_a_body_that_is_no_object() -> None:
    reply = Sim(Rule(then=Then(status=500, shape="u2028"))).ask()
    assert error(reply)["type"] == "server_error"
    assert json.loads(Sim(Rule(then=Then(body="text", shape="pretty"))).ask().body) == {"text": "text"}
    assert json.loads(Sim(Rule(then=Then(body={}, shape="huge", size=50))).ask().body).keys() == {"simulated"}


# --- lines that a batch runs ----------------------------------------------------------------------------------------


def test_a_line_in_a_batch_gets_the_real_time_answer_and_meets_no_limit() -> None:
    """Capacity and published limits are those of the connection's traffic; a batch has a pool of its own."""
    script = Script(latency=Fixed(9), capacity=Capacity(in_flight=1, reject_above=1), limits=Limits(rpm=1))
    behaviour = Behaviour(script, (), 0.0, lambda: 0.0)
    replies = [behaviour.run_line(request(), 0.0) for _ in range(3)]
    assert {reply.body for reply in replies} == {answer(CHAT, request().body)}


def test_rules_and_models_decide_about_a_line_too() -> None:
    rules = (Rule(match=Match(contains="poison"), then=Then(status=500)),)
    behaviour = Behaviour(Script(rules=rules), ("m",), 0.0, lambda: 0.0)
    statuses = [behaviour.run_line(one, 0.0).status for one in (request(), request("poison"), request(model="x"))]
    assert statuses == [200, 500, 404]


def test_a_rule_can_be_bound_to_lines_of_batches_or_to_connections() -> None:
    rules = (
        Rule(match=Match(native=True), then=Then(status=500)),
        Rule(match=Match(native=False), then=Then(status=429)),
    )
    behaviour = Behaviour(Script(rules=rules), (), 0.0, lambda: 0.0)
    line = request()
    line.native = True
    assert (behaviour.run_line(line, 0.0).status, behaviour.decide(request(), 1, 0.0).status) == (500, 429)


def test_a_line_whose_reply_would_have_been_cut_has_no_status() -> None:
    """On a socket the fault is seen; in a batch all that is left of it is a line without a reply."""
    cut = Behaviour(Script(rules=(Rule(then=Then(fault="reset")),)), (), 0.0, lambda: 0.0)
    assert cut.run_line(request(), 0.0).status == 0
    harmless = Behaviour(Script(rules=(Rule(then=Then(fault="chunked", shape="html")),)), (), 0.0, lambda: 0.0)
    assert harmless.run_line(request(), 0.0).body == answer(CHAT, request().body)


def test_a_line_cannot_be_streamed() -> None:
    streamed = request()
    streamed.body = streamed.body[:-1] + b',"stream":true}'
    assert Behaviour(Script(), (), 0.0, lambda: 0.0).run_line(streamed, 0.0).status == 400


def test_rules_decide_about_requests_that_are_no_call_of_a_model() -> None:
    """A rule with a status answers in place of the API; one with a fault lets the API act and breaks its reply."""
    acted: list[int] = []

    def act() -> Reply:
        acted.append(1)
        return Reply(200, b"{}")

    poll = Request("GET", "/v1/batches/b", "", b"")
    assert Behaviour(Script(), (), 0.0, lambda: 0.0).around(poll, 0.0, act).status == 200
    refusing = Behaviour(Script(rules=(Rule(then=Then(status=503)),)), (), 0.0, lambda: 0.0)
    assert (refusing.around(poll, 0.0, act).status, len(acted)) == (503, 1)
    breaking = Behaviour(Script(rules=(Rule(then=Then(fault="close")),)), (), 0.0, lambda: 0.0)
    assert (breaking.around(poll, 0.0, act).fault, len(acted)) == ("close", 2)
