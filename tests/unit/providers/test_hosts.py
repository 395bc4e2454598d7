"""The rows of hosts: what each fact does to a body and to a head, and that the facts agree with one another."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

import pytest
from mistralai.client.models import ChatCompletionRequest, EmbeddingRequest
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from openai.types.responses import Response
from pydantic import TypeAdapter

from batchrouter.domain.job import JobPhase
from batchrouter.domain.routing import RouteProvider, Router
from batchrouter.domain.validation import ENDPOINTS
from batchrouter.errors import LineRefused
from batchrouter.providers.hosts import ALIASES, ALL_ENDPOINTS, COMPATIBLE, HOSTS, Host, at_home, host_at, host_named
from batchrouter.providers.hosts.host import EMBEDDINGS, MODERATIONS, RESPONSES
from batchrouter.providers.job_lines import job_lines
from batchrouter.providers.openai import OpenAIWire
from batchrouter.providers.rules import CHAT, Unsupported, matches

ROWS = list(HOSTS.values())
OPENAI_SHAPED = [host for host in ROWS if host.wire == "openai"]
ASKED: dict[str, Any] = {
    "model": "m",
    "messages": [{"role": "user", "content": "é"}],
    "max_completion_tokens": 100,
    "temperature": 0.2,
    "top_p": 0.9,
    "presence_penalty": 0.1,
    "frequency_penalty": 0.1,
    "seed": 7,
    "user": "u",
    "store": True,
}


def wire(name: str, model: str = "m", **settings: Any) -> OpenAIWire:
    return OpenAIWire("http://h/v1", model, host=HOSTS[name], **settings)


def sent(name: str, body: dict[str, Any], model: str = "m", endpoint: str = CHAT, **settings: Any) -> dict[str, Any]:
    return json.loads(wire(name, model, **settings).encode(endpoint, json.dumps(body).encode()).body)


@pytest.mark.parametrize("host", ROWS, ids=lambda host: host.name)
def test_a_row_says_nothing_that_cannot_be(host: Host) -> None:
    """Addresses are addresses, and the vendor's own; endpoints are known ones; a batch API is one that we speak."""
    own = bool(host.domains)  # else people run it themselves
    if host.base_url is not None:
        url = urlsplit(host.base_url)
        assert url.scheme == ("https" if own else "http")
        assert url.path.endswith(host.path)
        assert not host.base_url.endswith("/")
        assert at_home(host, host.base_url) is own
    assert bool(host.key_env) is own
    assert set(host.endpoints or ()) <= set(ALL_ENDPOINTS)
    assert all(set(rule.endpoints) <= set(host.endpoints or ALL_ENDPOINTS) for rule in host.rules)
    if host.batch is not None:
        job_lines(host.batch)
        assert set(host.batch.endpoints) <= set(host.endpoints or ALL_ENDPOINTS)
        assert list(host.batch.windows_s) == sorted(host.batch.windows_s)
        assert set(host.batch.statuses.values()) <= {phase.value for phase in JobPhase}
        assert 0 <= host.batch.discount < 1


def test_names_and_aliases_mean_one_host_each() -> None:
    """No alias is another's name or alias."""
    names = [name for host in ROWS for name in (host.name, *host.aliases)]
    assert len(names) == len(set(names))
    assert all(host_named(alias) is HOSTS[name] for alias, name in ALIASES.items())


def test_every_endpoint_of_a_line_is_known_to_the_rows() -> None:
    """A new endpoint needs a word about who serves it."""
    assert set(ENDPOINTS) <= set(ALL_ENDPOINTS)


@pytest.mark.parametrize(
    ("host", "header"),
    [
        ("openai", b"\r\nauthorization: Bearer sk-1\r\n"),
        ("azure", b"\r\napi-key: sk-1\r\n"),
        ("gemini", b"\r\nauthorization: Bearer sk-1\r\n"),
        ("vllm", b"\r\nauthorization: Bearer sk-1\r\n"),
    ],
)
def test_the_key_goes_where_the_host_wants_it(host: str, header: bytes) -> None:
    """And nowhere else; without a key there is no such header."""
    head = wire(host, api_key="sk-1").head(CHAT)
    assert header in head
    assert head.count(b"sk-1") == 1
    assert header.split(b":")[0] not in wire(host).head(CHAT)


@pytest.mark.parametrize("host", OPENAI_SHAPED, ids=lambda host: host.name)
def test_an_endpoint_is_served_translated_or_refused(host: Host) -> None:
    """For every row; what is refused was never sent."""
    lane = OpenAIWire("http://h/v1", "m", host=host)
    for endpoint in ALL_ENDPOINTS:
        body = b'{"model":"m","messages":[],"input":"x"}'
        if (host.endpoints is None and not host.only_batch) or endpoint in (host.endpoints or ()):
            assert lane.encode(endpoint, body).note is None
            assert lane.head(endpoint).startswith(b"POST /v1" + endpoint.removeprefix("/v1").encode())
        elif endpoint == RESPONSES and not host.only_batch:
            assert lane.encode(endpoint, body).note is not None
            assert lane.head(endpoint).startswith(b"POST /v1/chat/completions ")
            assert not lane.passes(endpoint)
        else:
            assert not lane.passes(endpoint)
            with pytest.raises(LineRefused) as refused:
                lane.encode(endpoint, body)
            assert refused.value.code == "unsupported_endpoint"


def test_a_path_of_the_configuration_s_own_passes_everywhere() -> None:
    """Whoever wrote it knows the host better than its row."""
    assert wire("openai").passes("/v1/rerank")
    assert wire("deepseek").encode("/v1/rerank", b'{"model":"m"}').body == b'{"model":"m"}'


def test_a_response_is_asked_for_as_a_chat_and_told_as_a_response() -> None:
    """Where a host has no /v1/responses; the official client's types judge both ways. An error stays what it is."""
    lane = wire("deepseek", "deepseek-chat")
    body = {"model": "x", "input": "Why?", "instructions": "Be brief.", "max_output_tokens": 20, "truncation": "auto"}
    encoded = lane.encode(RESPONSES, json.dumps(body).encode())
    chat = json.loads(encoded.body)
    TypeAdapter(CompletionCreateParamsNonStreaming).validate_python(chat)
    assert (chat["model"], chat["max_tokens"]) == ("deepseek-chat", 20)
    assert [each["role"] for each in chat["messages"]] == ["system", "user"]
    answer = {
        "id": "c1", "object": "chat.completion", "created": 5, "model": "deepseek-chat",
        "choices": [{"index": 0, "finish_reason": "length", "message": {"role": "assistant", "content": "So"}}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 20, "total_tokens": 29},
    }  # fmt: skip
    reply = lane.decode(RESPONSES, 200, json.dumps(answer).encode(), encoded.note)
    response = Response.model_validate_json(reply.body)
    assert (response.output_text, response.status, response.instructions) == ("So", "incomplete", "Be brief.")
    assert (reply.tokens.input, reply.tokens.output, reply.model) == (9, 20, "deepseek-chat")
    refusal = b'{"error":{"message":"no","type":"t","code":"c"}}'
    assert lane.decode(RESPONSES, 400, refusal, encoded.note).body == refusal
    for odd in (b"[]", b"{}", b'{"choices":7}'):
        assert lane.decode(RESPONSES, 200, odd, encoded.note).usable
    with pytest.raises(LineRefused, match="previous_response_id"):
        lane.encode(RESPONSES, b'{"input":"x","previous_response_id":"r"}')


def test_a_provider_that_takes_batches_alone_runs_nothing_in_real_time() -> None:
    """Another BatchRouter has no endpoint of its own for lines."""
    with pytest.raises(LineRefused, match="batches"):
        wire("batchrouter").encode(CHAT, b"{}")
    assert wire("batchrouter", "m").encode_batch(CHAT, b'{"model":"x"}').body == b'{"model":"m"}'


@pytest.mark.parametrize("model", ["gpt-4.1", "gpt-4o-mini", "gpt-5-chat-latest", "gpt-5.2-chat-latest", "ft:gpt-4o:x"])
def test_other_models_of_openai_get_every_body_as_it_is(model: str) -> None:
    """The fast path: nothing is even looked at."""
    assert wire("openai", model).passes(CHAT)
    assert sent("openai", ASKED, model) == {**ASKED, "model": model}


@pytest.mark.parametrize("host", ["openai", "azure"])
@pytest.mark.parametrize(
    ("model", "effort", "leaves_out"),
    [
        ("o1", None, True),
        ("o3-mini-2025-01-31", None, True),
        ("o4-mini", None, True),
        ("gpt-5", None, True),
        ("gpt-5-mini", "minimal", True),
        ("gpt-5.1", None, False),
        ("gpt-5.1", "none", False),
        ("gpt-5.2-2025-12-11", "high", True),
        ("gpt-5.4-mini", None, False),
        ("gpt-5.5", None, True),
        ("gpt-5.5", "none", False),
        ("gpt-5.6-sol", "low", True),
        ("gpt-6-luna", None, True),
        ("gpt-6-luna", "none", False),
    ],
)
def test_reasoning_models_get_what_they_take(host: str, model: str, effort: str | None, leaves_out: bool) -> None:
    """`max_tokens` under its new name always; sampling only where nothing is thought about."""
    body = {**ASKED, "max_tokens": 50} | ({} if effort is None else {"reasoning_effort": effort})
    del body["max_completion_tokens"]
    after = sent(host, body, model)
    assert "max_tokens" not in after
    assert after["max_completion_tokens"] == 50
    sampling = {"temperature", "top_p", "presence_penalty", "frequency_penalty"}
    assert set(after) & sampling == (set() if leaves_out else sampling)
    assert after["seed"] == 7
    responses = {"model": "m", "input": "x", "temperature": 0.5} | ({"reasoning": {"effort": effort}} if effort else {})
    assert ("temperature" not in sent(host, responses, model, RESPONSES)) is leaves_out


def test_what_openai_is_sent_is_what_its_client_knows() -> None:
    """The official client's own types, before and after the rules."""
    takes = TypeAdapter(CompletionCreateParamsNonStreaming)
    known = set(CompletionCreateParamsNonStreaming.__annotations__)
    for model in ("gpt-4.1", "o3", "gpt-5", "gpt-5.5"):
        for flex in (False, True):
            after = sent("openai", {**ASKED, "max_tokens": 5}, model, flex=flex)
            takes.validate_python(after)
            assert set(after) <= known
            assert after.get("service_tier") == ("flex" if flex else None)


def test_mistral_is_sent_nothing_that_it_refuses() -> None:
    """Its own client's types: what they do not have is a 422."""
    after = sent("mistral", ASKED)
    assert set(after) <= set(ChatCompletionRequest.model_fields)
    ChatCompletionRequest.model_validate(after)
    assert (after["max_tokens"], after["random_seed"]) == (100, 7)
    vectors = sent("mistral", {"model": "m", "input": ["a"], "dimensions": 8, "user": "u"}, endpoint=EMBEDDINGS)
    assert set(vectors) <= {field.alias or name for name, field in EmbeddingRequest.model_fields.items()}
    assert vectors["output_dimension"] == 8
    assert wire("mistral").passes(MODERATIONS)


@pytest.mark.parametrize(
    "host", ["mistral", "together", "deepseek", "dashscope", "zhipu", "siliconflow", "ollama", "lmstudio"]
)
def test_who_knows_max_tokens_alone_gets_it(host: str) -> None:
    """A limit that goes unseen would make an answer without end."""
    after = sent(host, ASKED)
    assert after["max_tokens"] == 100
    assert "max_completion_tokens" not in after


@pytest.mark.parametrize("host", ["groq", "xai", "moonshot", "gemini", "fireworks", "openrouter", "vllm", "llamacpp"])
def test_the_others_get_the_limit_as_it_is(host: str) -> None:
    """They know both names."""
    assert sent(host, ASKED)["max_completion_tokens"] == 100


@pytest.mark.parametrize("host", ["together", "moonshot", "zhipu"])
def test_a_temperature_above_one_is_brought_down(host: str) -> None:
    """And told."""
    encoded = wire(host).encode(CHAT, b'{"model":"m","temperature":1.8,"top_p":0.50}')
    assert encoded.body == b'{"model":"m","temperature":1,"top_p":0.50}'
    assert encoded.dropped == ("temperature",)


@pytest.mark.parametrize(
    ("host", "model", "parameter"),
    [
        ("openai", "o3", {"logprobs": True}),
        ("openai", "gpt-5", {"logit_bias": {"1": 2}}),
        ("groq", "m", {"n": 2}),
        ("groq", "m", {"top_logprobs": 3}),
        ("mistral", "m", {"functions": [{}]}),
        ("moonshot", "m", {"functions": [{}]}),
        ("xai", "grok-4", {"stop": ["x"]}),
        ("xai", "grok-3-mini", {"stop": "x"}),
    ],
)
def test_what_a_host_cannot_do_is_refused_or_left_out(host: str, model: str, parameter: dict[str, Any]) -> None:
    """As the configuration wishes; without a wish it is refused."""
    body = json.dumps({"model": "m", **parameter}).encode()
    name = next(iter(parameter))
    for unsupported in (None, Unsupported.FAIL):
        with pytest.raises(LineRefused) as refused:
            wire(host, model, unsupported=unsupported).encode(CHAT, body)
        assert (refused.value.code, refused.value.param) == ("unsupported_parameter", name)
    encoded = wire(host, model, unsupported=Unsupported.DROP).encode(CHAT, body)
    assert encoded.dropped == (name,)
    assert json.loads(encoded.body) == {"model": model}


def test_penalties_of_grok_are_left_out() -> None:
    """Of the models that refuse them; the older ones take them."""
    assert "presence_penalty" not in sent("xai", ASKED, "grok-4-1-fast-reasoning")
    assert "presence_penalty" in sent("xai", ASKED, "grok-3")
    assert "temperature" not in sent("moonshot", ASKED, "kimi-k2.6")


@pytest.mark.parametrize("name", HOSTS)
def test_a_batch_line_says_nothing_of_streams_and_tiers(name: str) -> None:
    """And goes by the host's rules like any other."""
    host = HOSTS[name]
    if host.batch is None or host.wire != "openai":
        return
    body = json.dumps({**ASKED, "stream": False, "service_tier": "priority"}).encode()
    encoded = OpenAIWire("http://h/v1", "up", host=host, unsupported=Unsupported.DROP).encode_batch(CHAT, body)
    after = json.loads(encoded.body)
    assert after["model"] == "up"
    assert not {"stream", "service_tier"} & set(after)
    assert "service_tier" in encoded.dropped
    assert "stream" not in encoded.dropped


def test_a_flex_lane_asks_for_the_tier_where_there_is_one() -> None:
    """In chats and responses; a tier of the line's own is replaced, other endpoints know none."""
    lane = wire("openai", "o3", flex=True)
    assert json.loads(lane.encode(CHAT, b'{"model":"o3","service_tier":"priority"}').body)["service_tier"] == "flex"
    assert json.loads(lane.encode(RESPONSES, b'{"model":"o3"}').body)["service_tier"] == "flex"
    assert lane.encode(EMBEDDINGS, b'{"model":"o3"}').body == b'{"model":"o3"}'
    assert not lane.passes(CHAT)
    assert lane.passes(EMBEDDINGS)


@pytest.mark.parametrize(
    ("model", "has"),
    [
        ("o3", True),
        ("o3-2025-04-16", True),
        ("o3-pro", False),
        ("gpt-5-mini-2025-08-07", True),
        ("gpt-5.1-2025-11-13", True),
        ("gpt-5.1-codex-mini", False),
        ("gpt-5-chat-latest", False),
        ("gpt-4.1", False),
        ("gpt-6.1-sol", True),
    ],
)
def test_which_models_have_a_flex_tier(model: str, has: bool) -> None:
    """The others answer 400 to it."""
    assert matches(model, HOSTS["openai"].flex) is has


def test_openai_s_facts_hold_at_openai_s_address_alone() -> None:
    """Its name stands for everybody who speaks its dialect."""
    for url in ("https://api.openai.com/v1", "https://eu.api.openai.com/v1", None):
        assert host_at("openai", url) is HOSTS["openai"]
    for url in ("http://127.0.0.1:8000/v1", "https://api.openai.com.evil.example/v1", "https://xapi.openai.com/v1"):
        assert host_at("openai", url) is COMPATIBLE
    assert host_at("together_ai", "http://127.0.0.1/v1") is HOSTS["together"]
    assert host_at("openai-compatible", None) is COMPATIBLE


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("gpt-4o", "openai"),
        ("o3", "openai"),
        ("text-embedding-3-small", "openai"),
        ("gpt-oss-120b", None),
        ("claude-sonnet-4-5", "anthropic"),
        ("gemini-2.5-flash", "gemini"),
        ("gemma-3", None),
        ("grok-4", "xai"),
        ("mistral-large-latest", "mistral"),
        ("mistral-small", None),
        ("deepseek-chat", "deepseek"),
        ("deepseek-r1", None),
        ("qwen-max", "dashscope"),
        ("qwen3-32b", None),
    ],
)
def test_names_that_one_vendor_alone_serves(model: str, name: str | None) -> None:
    """Weights that anybody may run say nothing of who does."""
    providers = [RouteProvider(host.name, host.name, alone=host.models) for host in ROWS if host.name != "azure"]
    found = Router(providers, {}, None).resolve("", model)
    assert getattr(found, "provider", None) == name


def test_thinking_that_is_told_in_the_total_alone_is_output() -> None:
    """Gemini's usage as people saw it; where the parts are the whole nothing is added."""
    usage = '"usage":{"completion_tokens":102,"prompt_tokens":758,"total_tokens":1725}'
    assert wire("gemini").decode(CHAT, 200, f"{{{usage}}}".encode()).tokens.output == 967
    assert wire("openai").decode(CHAT, 200, f"{{{usage}}}".encode()).tokens.output == 102
    whole = b'{"usage":{"completion_tokens":10,"prompt_tokens":5,"total_tokens":15}}'
    assert wire("xai").decode(CHAT, 200, whole).tokens.output == 10


@pytest.mark.parametrize(
    ("usage", "cached", "written"),
    [
        ('{"prompt_tokens":9,"prompt_tokens_details":{"cached_tokens":4,"cache_write_tokens":3}}', 4, 3),
        ('{"input_tokens":9,"input_tokens_details":{"cached_tokens":4,"cache_write_tokens":3}}', 4, 3),
        ('{"prompt_tokens":9,"prompt_cache_hit_tokens":5}', 5, 0),
        ('{"prompt_tokens":9,"cached_tokens":6}', 6, 0),
        ('{"prompt_tokens":9,"prompt_tokens_details":{"cached_tokens":null,"cache_write_tokens":-3}}', 0, 0),
        ('{"prompt_tokens":9,"prompt_tokens_details":null}', 0, 0),
    ],
)
def test_what_a_cache_gave_and_took_is_read(usage: str, cached: int, written: int) -> None:
    """In each of the ways in which hosts tell it."""
    reply = wire("openai").decode(CHAT, 200, f'{{"usage":{usage}}}'.encode())
    assert (reply.tokens.input, reply.tokens.cached, reply.cache_writes) == (9, cached, written)
