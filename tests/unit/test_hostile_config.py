"""Configurations that are wrong in every place: each is told by file and setting, and no message holds a key."""

from __future__ import annotations

import copy
import datetime
import random
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from batchrouter.config import Config
from batchrouter.config.reading import parse
from batchrouter.errors import ConfigError

SECRET = "s3cret-of-nobody-else-0123"
TOKEN = "sk-ant-api03-0123456789abcdef"
ENV = {"KEY": SECRET, "EMPTY": "", "OPENAI_API_KEY": "", "ANTHROPIC_API_KEY": SECRET}
WHOLE: dict[str, Any] = {
    "server": {"host": "127.0.0.1", "port": 8000, "shutdown_grace_s": 3},
    "storage": {"database": "sqlite", "blobs": "d"},
    "providers": {
        "openai": {
            "api_key": "${KEY}",
            "models": ["gpt-*"],
            "mode": "auto",
            "modes": {"gpt-*": "batch", "*": "realtime"},
            "service_tier": "flex",
            "batch": {
                "enabled": True,
                "min_requests": 3,
                "min_time": "1h",
                "max_requests": 10,
                "max_bytes": 2000,
                "enqueued_tokens": 5,
                "window": "24h",
                "discount": 0.5,
                "poll_min": 1,
                "poll_max": 2,
                "endpoints": ["/v1/chat/completions"],
            },
            "unsupported": "drop",
            "max_tokens": 5,
            "prices": {"*": {"input": 1, "output": 2, "cached": 0.1, "written": 2, "batch_discount": 0.5}},
            "price_as": "openai",
            "rpm": 5,
            "tpm": 6,
            "timeout": "10m",
            "connect_timeout": 3,
            "headers": {"x-a": SECRET},
        },
        "anthropic": {
            "keys": [
                {"name": "a", "api_key": SECRET, "rpm": 3, "batch": False},
                {"name": "b", "api_key": f"{SECRET}2", "base_url": "https://api.anthropic.com/v1"},
            ]
        },
        "local": {"type": "openai", "base_url": "http://h:8000/v1", "api_keys": [TOKEN, f"{TOKEN}3"]},
    },
    "models": {"claude": "anthropic/claude-opus-5", "q": "local/q"},
    "default_provider": "local",
    "fallbacks": {"claude": ["openai/gpt-5", "local/q"]},
    "batches": {"completion_windows": ["24h"], "mode": "auto", "max_cost": 3, "overtake_margin": "15m"},
}
ODD: list[Any] = [
    None, True, False, 0, -1, 10**30, 1.5, float("nan"), float("inf"), "", " ", "x", SECRET, TOKEN, "${KEY}", "${NOPE}",
    "${EMPTY}", "é", "a\nb", [], {}, [None], [TOKEN], {TOKEN: TOKEN}, datetime.date(2020, 1, 1), b"bytes", "*", "[!",
    "a/b", "claude", "0s", "-1h", "9999999d", "batch", "flex", f"https://u:{TOKEN}@h/", "http://[", "ftp://x", "/v1/é",
]  # fmt: skip
NAMES = ["mode", "modes", "batch", "keys", "api_keys", "prices", "fallbacks", "max_cost", "bogus", "api-key", "type"]


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in members:
        yield (*path, key)
        yield from _paths(each, (*path, key))


def _spoilt(chance: random.Random) -> dict[str, Any]:
    made = copy.deepcopy(WHOLE)
    for _ in range(chance.choice([1, 1, 2])):
        *way, last = chance.choice(list(_paths(made)))
        place = made
        for key in way:
            place = place[key]
        odd = copy.deepcopy(chance.choice(ODD))
        how = chance.random()
        if how < 0.7:
            place[last] = odd
        elif how < 0.8:
            del place[last]
        elif isinstance(place, dict):
            place[chance.choice(NAMES)] = odd
    return made


def _told(text: str) -> str | None:
    """What is said of a configuration and of what lies behind it; None: it can be used."""
    try:
        assert isinstance(parse(text, ENV, "the file"), Config)
    except ConfigError as error:
        return f"{error} {error.__cause__ or ''}"
    return None


@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_wrong_is_told_without_a_secret(seed: int) -> None:
    """By the name of the file; or it is a configuration, and can be used."""
    chance = random.Random(seed)
    told = 0
    for _ in range(60):
        text = yaml.safe_dump(_spoilt(chance))
        if chance.random() < 0.1:
            at = chance.randrange(len(text))
            text = text[:at] + chance.choice('"{[:\t&*>') + text[at:]
        message = _told(text)
        told += message is not None
        assert message is None or "the file" in message
        assert SECRET not in (message or "")
        assert TOKEN not in (message or "")
    assert told > 20


def refused(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text, ENV, "the file")
    return str(caught.value)


def test_a_file_that_is_no_yaml_is_told_by_place_alone() -> None:
    """The line itself holds a key as often as not."""
    told = refused(f'providers:\n  openai:\n    api_key: "{SECRET}\n    rpm: 5\n')
    assert told.startswith("the file is not YAML in line ")
    assert SECRET not in told


@pytest.mark.parametrize(
    "text",
    [
        "server: {port: 1, port: 2}",
        f"providers:\n  openai: {{api_key: {SECRET}}}\n  openai: {{api_key: {SECRET}}}\n",
        f"providers:\n  a: {{type: openai, base_url: 'http://h/v1', api_key: {SECRET}, api_key: {SECRET}}}\n",
    ],
)
def test_a_setting_that_stands_there_twice_is_refused(text: str) -> None:
    """YAML's usual readers take the last one, and nobody hears of the first."""
    told = refused(text)
    assert "stands there twice" in told
    assert SECRET not in told


def test_a_merged_mapping_may_be_overridden() -> None:
    """That is what merging is for."""
    text = "providers:\n  a: &p {type: openai, base_url: 'http://h/v1', rpm: 5}\n  b:\n    <<: *p\n    rpm: 6\n"
    assert parse(text + "default_provider: a\n", {}, "the file").providers["b"].keys[0].rpm == 6


@pytest.mark.parametrize(
    "text", ["a: &a [*a]", "providers: &a {x: *a}", "server: " + "[" * 5000, "a: " + "{b: " * 3000]
)
def test_what_holds_itself_is_told(text: str) -> None:
    """And what is nested without an end."""
    assert refused(text).startswith("the file")


@pytest.mark.parametrize(
    "settings",
    [
        "openai: {api_key: '${EMPTY}'}",
        "anthropic: {api_key: ''}",
        "local: {type: openai, base_url: 'http://h/v1', api_keys: [a-key, '${EMPTY}']}",
        "local: {type: openai, base_url: 'http://h/v1', api_key: a-key, keys: [{}, {api_key: ''}]}",
    ],
)
def test_an_empty_variable_is_no_key(settings: str) -> None:
    """It would be sent as none, and every line be refused."""
    assert refused(f"providers:\n  {settings}\n").endswith("api_key is empty")


def test_a_server_of_ones_own_needs_no_key() -> None:
    """An empty one says so."""
    made = parse("providers: {local: {type: openai, base_url: 'http://h/v1', api_key: ''}}", ENV, "the file")
    assert not made.providers["local"].keys[0].api_key


@pytest.mark.parametrize("setting", ["mode", "type", "ca_file", "service_tier", "unsupported", "timeout"])
@pytest.mark.parametrize("value", ["${KEY}", TOKEN])
def test_a_key_in_the_wrong_place_is_not_told(setting: str, value: str) -> None:
    """Where a setting's value is quoted."""
    told = refused(f"providers: {{local: {{base_url: 'http://h/v1', {setting}: '{value}'}}}}")
    assert f"providers.local.{setting}" in told
    assert SECRET not in told
    assert TOKEN not in told


@pytest.mark.parametrize("max_cost", ["-1", ".nan", ".inf", "1e30", "'5'", "true", "1000001"])
def test_money_out_of_its_bounds_is_told(max_cost: str) -> None:
    """What nobody has, and what is none."""
    assert "the file: batches.max_cost" in refused(f"batches: {{max_cost: {max_cost}}}")


@pytest.mark.parametrize(
    "price", ["{input: -1, output: 1}", "{input: .nan, output: 1}", "{input: 1}", "{output: 1e9, input: 1}"]
)
def test_prices_out_of_their_bounds_are_told(price: str) -> None:
    """By the glob that they stand under."""
    told = refused(f"providers: {{local: {{type: openai, base_url: 'http://h/v1', prices: {{'a*': {price}}}}}}}")
    assert "providers.local.prices" in told


@pytest.mark.parametrize(
    "fallbacks",
    ["{a: [a]}", "{a: [b], b: [a]}", "{a: [b], b: [c], c: [a]}", "{a: [b, b]}", "{a: []}", "{a: b}", "{a: [x/y/z]}"],
)
def test_fallbacks_that_lead_nowhere_are_told(fallbacks: str) -> None:
    """In a circle, to themselves, twice, to nobody."""
    p, q = ({"type": "openai", "base_url": "http://h/v1", "models": models} for models in (["a", "b", "c"], ["q"]))
    providers = yaml.safe_dump({"providers": {"p": p, "q": q}})
    assert "the file: fallbacks" in refused(f"{providers}fallbacks: {fallbacks}\n")
