"""Scripts: what is accepted, how mistakes are told, and that the documentation knows every word of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from batchrouter.errors import ConfigError
from batchrouter.simulator import Match, Rule, Script, Then, load_script, script_from
from batchrouter.simulator.answers import ENDPOINTS
from batchrouter.simulator.command import ServeOptions, script_of
from batchrouter.simulator.faults import WRITERS
from batchrouter.simulator.log import Entry
from batchrouter.simulator.script import (
    STRUCTS,
    Capacity,
    Fault,
    Fixed,
    Limits,
    LogNormal,
    Shape,
    Uniform,
    parse_latency,
)
from batchrouter.simulator.shapes import SHAPES

DOCS = Path(__file__).resolve().parents[3] / "docs" / "simulator.md"


def test_a_script_loads_from_yaml_and_survives_the_way_through_json(tmp_path: Path) -> None:
    file = tmp_path / "script.yaml"
    file.write_text(
        "seed: 7\n"
        "latency: {kind: uniform, low: 0.2, high: 0.4}\n"
        "capacity: {in_flight: 8, reject_above: 16, reject_status: 503, retry_after_s: 2}\n"
        "rules:\n"
        "- match: {contains: poison}\n"
        "  then: {status: 500}\n"
    )
    script = load_script(file)
    assert script == Script(
        seed=7,
        latency=Uniform(0.2, 0.4),
        capacity=Capacity(in_flight=8, reject_above=16, reject_status=503, retry_after_s=2),
        rules=(Rule(match=Match(contains="poison"), then=Then(status=500)),),
    )
    assert script_from(msgspec.json.decode(msgspec.json.encode(script))) == script


def test_an_empty_file_is_an_empty_script(tmp_path: Path) -> None:
    file = tmp_path / "empty.yaml"
    file.write_text("")
    assert load_script(file) == Script()


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ({"latncy": {}}, "did you mean 'latency'"),
        ({"rules": [{"then": {"falt": "close"}}]}, "did you mean 'fault'"),
        ({"rules": [{"then": {"fault": "explode"}}]}, "$.rules[0].then.fault"),
        ({"rules": [{"then": {"status": 99}}]}, "$.rules[0].then.status"),
        ({"rules": [{"then": {"headers": {"a": "b\r\nc: d"}}}]}, "headers"),
        ({"latency": {"kind": "uniform", "low": 2, "high": 1}}, "below `low`"),
        ({"capacity": {"in_flight": 4, "reject_above": 2}}, "below `in_flight`"),
        ({"limits": {"rpm": 0}}, "$.limits.rpm"),
        ([], "Expected `object`"),
    ],
)
def test_a_mistake_is_told_with_its_place(value: Any, word: str) -> None:
    with pytest.raises(ConfigError) as caught:
        script_from(value)
    assert word in str(caught.value)


@pytest.mark.parametrize("content", [b"a: [", b"\xff"])
def test_a_file_that_is_no_yaml_is_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "broken.yaml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"broken\.yaml"):
        load_script(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml"):
        load_script(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize(
    ("text", "latency"),
    [
        ("0.3", Fixed(0.3)),
        ("0.2..0.4", Uniform(0.2, 0.4)),
        ("lognormal:0.3", LogNormal(0.3)),
        ("lognormal:0.3:0.6:9", LogNormal(0.3, 0.6, 9.0)),
    ],
)
def test_latency_has_a_short_form(text: str, latency: Any) -> None:
    assert parse_latency(text) == latency


@pytest.mark.parametrize("text", ["", "fast", "-1", "2..1", "lognormal:", "lognormal:0"])
def test_a_wrong_short_form_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="latency"):
        parse_latency(text)


def test_options_win_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "script.yaml"
    file.write_text("seed: 1\nlatency: {kind: fixed, seconds: 5}\ncapacity: {in_flight: 8, reject_above: 16}\n")
    options = ServeOptions(script=str(file), latency="0.1", in_flight=4, rpm=60)
    assert script_of(options) == Script(
        seed=1,
        latency=Fixed(0.1),
        capacity=Capacity(in_flight=4, reject_above=16),
        limits=Limits(rpm=60),
    )


def test_an_option_that_needs_another_says_so() -> None:
    with pytest.raises(ConfigError, match="in_flight"):
        script_of(ServeOptions(reject_above=4))


def test_every_fault_has_a_writer_and_every_shape_a_maker() -> None:
    assert set(get_args(Fault)) == set(WRITERS) - {""}
    assert set(get_args(Shape)) == set(SHAPES)


def test_the_documentation_names_every_key_fault_shape_endpoint_and_log_member() -> None:
    structs: list[type[msgspec.Struct]] = [*STRUCTS, Entry]
    words = {name for struct in structs for name in struct.__struct_fields__}
    words |= {*get_args(Fault), *get_args(Shape), *ENDPOINTS, "fixed", "uniform", "lognormal"}
    words |= {"/v1/models", "/healthz", "/sim/log", "/sim/stats", "/sim/script", "/sim/reset"}
    text = DOCS.read_text(encoding="utf-8")
    assert [word for word in sorted(words) if f"`{word}`" not in text] == []


def test_the_documentation_names_every_option_of_the_command() -> None:
    text = DOCS.read_text(encoding="utf-8")
    options = [f"--{name.replace('_', '-')}" for name in ServeOptions.__dataclass_fields__]
    assert [option for option in options if f"`{option}" not in text] == []
