"""A rule changes the members it names and no byte of any other."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrouter.errors import LineRefused
from batchrouter.providers.rules import CHAT, Changes, Rule, Unsupported

RENAME = Rule(rename={"max_tokens": "max_completion_tokens"})
DROP = Rule(drop=("temperature", "user"))
FORBID = Rule(forbid=("n", "logprobs"))
CLAMP = Rule(clamp={"temperature": (0, 1)})


def applied(body: str, *rules: Rule, **settings: Any) -> tuple[str, tuple[str, ...]]:
    changed, dropped = Changes(rules, **settings).apply(body.encode())
    return changed.decode(), dropped


def test_a_body_that_no_rule_concerns_is_the_same_object() -> None:
    """Not a copy, and never parsed: even what is no JSON passes."""
    for body in (b'{"model":"m","messages":[]}', b"[", b'{"max_token":1,"n_":2}'):
        changed, dropped = Changes((RENAME, DROP, FORBID)).apply(body)
        assert changed is body
        assert dropped == ()


@pytest.mark.parametrize(
    ("body", "rule", "after", "dropped"),
    [
        ('{"a":1,"max_tokens":5,"b":2}', RENAME, '{"a":1,"max_completion_tokens":5,"b":2}', ()),
        ('{"max_tokens":5,"max_completion_tokens":6}', RENAME, '{"max_completion_tokens":6}', ("max_tokens",)),
        ('{"max_completion_tokens":6,"max_tokens":5}', RENAME, '{"max_completion_tokens":6}', ("max_tokens",)),
        ('{"temperature":0.3,"a":1.50}', DROP, '{"a":1.50}', ("temperature",)),
        ('{"user":"u","temperature":1}', DROP, "{}", ("user",)),
        ('{"temperature":null}', DROP, "{}", ()),
        ('{"n":1,"a":2}', FORBID, '{"a":2}', ()),
        ('{"logprobs":false,"n":null}', FORBID, "{}", ()),
        ('{"temperature":1.7}', CLAMP, '{"temperature":1}', ("temperature",)),
        ('{"temperature":-1e9}', CLAMP, '{"temperature":0}', ("temperature",)),
        ('{"temperature":0.70}', CLAMP, '{"temperature":0.70}', ()),
        ('{"temperature":"hot"}', CLAMP, '{"temperature":"hot"}', ()),
        ('{"max_\\u0074okens":5}', RENAME, '{"max_completion_tokens":5}', ()),
        ('{"temperature":2,"temperature":0.5}', DROP, "{}", ("temperature",)),
    ],
)
def test_what_becomes_of_a_body(body: str, rule: Rule, after: str, dropped: tuple[str, ...]) -> None:
    """Renamed, left out, kept in its bounds; what was left out or changed is told, what says nothing is not."""
    assert applied(body, rule) == (after, dropped)


@pytest.mark.parametrize("body", ['{"n":2}', '{"logprobs":true}', '{"n":"1"}'])
def test_what_makes_another_question_refuses_the_line(body: str) -> None:
    """With a status, a code and the parameter's name, and nothing of its value."""
    with pytest.raises(LineRefused) as refused:
        applied(body, FORBID)
    assert (refused.value.status, refused.value.code) == (400, "unsupported_parameter")
    assert refused.value.param in body


def test_the_configuration_may_wish_otherwise() -> None:
    """`drop` leaves out what would refuse; `fail` refuses what would be left out or changed."""
    assert applied('{"n":2,"a":1}', FORBID, unsupported=Unsupported.DROP) == ('{"a":1}', ("n",))
    for body, rule in (('{"temperature":0.5}', DROP), ('{"temperature":1.5}', CLAMP), ('{"n":2}', FORBID)):
        with pytest.raises(LineRefused):
            applied(body, rule, unsupported=Unsupported.FAIL)
    for body, rule in (('{"temperature":1}', DROP), ('{"temperature":0.5}', CLAMP), ('{"max_tokens":5}', RENAME)):
        applied(body, rule, unsupported=Unsupported.FAIL)


def test_members_that_are_put_replace_those_of_the_body() -> None:
    """Once, at the end; without any rule too."""
    assert applied('{"service_tier":"auto","a":1}', put={"service_tier": b'"flex"'}) == (
        '{"a":1,"service_tier":"flex"}',
        (),
    )


def test_what_has_no_place_is_left_out_whatever_is_wished() -> None:
    """As in a provider's batch; told only where it says something."""
    body = '{"stream":false,"service_tier":"priority","stream_options":{"x":1}}'
    without = ("stream", "stream_options", "service_tier")
    for unsupported in (None, *Unsupported):
        after = applied(body, unsupported=unsupported, without=without)
        assert after == ("{}", ("service_tier", "stream_options"))


EFFORT = Rule(drop=("top_p",), not_at_effort=("none", ""))


@pytest.mark.parametrize(
    ("asked", "leaves_out"),
    [
        ("", False),
        ('"reasoning_effort":null,', False),
        ('"reasoning_effort":"none",', False),
        ('"reasoning_effort":"high",', True),
        ('"reasoning_effort":7,', True),
        ('"reasoning":{"effort":"none"},', False),
        ('"reasoning":{"effort":"low","summary":"auto"},', True),
        ('"reasoning":{},', False),
        ('"reasoning":null,', False),
    ],
)
def test_a_rule_may_hold_for_some_efforts_alone(asked: str, leaves_out: bool) -> None:
    """As chat completions and as responses say it."""
    after, dropped = applied(f'{{{asked}"top_p":0.5}}', EFFORT)
    assert ("top_p" not in after) is leaves_out
    assert dropped == (("top_p",) if leaves_out else ())


def test_half_an_emoji_is_no_hindrance() -> None:
    """msgspec refuses it; JSON does not, and people's files have it."""
    assert applied('{"max_tokens":5,"user":"\\ud83d"}', RENAME) == (
        '{"max_completion_tokens":5,"user":"\\ud83d"}',
        (),
    )


def test_a_rule_holds_for_its_models_at_its_endpoints() -> None:
    """By the whole name, with regard to case; not for those set apart."""
    rule = Rule(models=("gpt-5*",), apart=("gpt-5-chat*",))
    held = [name for name in ("gpt-5", "gpt-5-mini", "gpt-5-chat-latest", "GPT-5", "x-gpt-5") if rule.holds(CHAT, name)]
    assert held == ["gpt-5", "gpt-5-mini"]
    assert not rule.holds("/v1/embeddings", "gpt-5")


NAMES = st.sampled_from(["max_tokens", "max_completion_tokens", "temperature", "n", "user", "messages", "ä", "x\u2028"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(NAMES, VALUES, max_size=6), st.booleans(), st.sampled_from([None, "  "]))
def test_every_other_value_keeps_its_bytes(members: dict[str, Any], ascii_only: bool, indent: str | None) -> None:
    """However it was written; nothing is lost, doubled or moved."""
    body = json.dumps(members, ensure_ascii=ascii_only, indent=indent).encode()
    changed, dropped = Changes((RENAME, Rule(drop=("user",)))).apply(body)
    before = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode(body)
    after = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode(changed)
    expected = {name: value for name, value in before.items() if name not in ("user", "max_tokens")}
    if "max_tokens" in before and "max_completion_tokens" not in before:
        expected["max_completion_tokens"] = before["max_tokens"]
    assert {name: bytes(value) for name, value in after.items()} == {
        name: bytes(value) for name, value in expected.items()
    }
    told = {"user"} & {name for name, value in members.items() if value is not None}
    both = {"max_tokens"} if {"max_tokens", "max_completion_tokens"} <= set(members) else set()
    assert set(dropped) == told | both
