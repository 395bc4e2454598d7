from __future__ import annotations

import json
import socket
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrouter.domain.checked.bounds import Measure, Unbounded
from batchrouter.domain.checked.judge import KEPT_BYTES, KEPT_MAX, TEXT_MAX, Fault, Judge, Judges, fault_of

VERDICT = {
    "type": "object",
    "properties": {"good": {"type": "boolean"}, "tags": {"type": "array", "items": {"type": "string"}}},
    "required": ["good"],
    "additionalProperties": False,
}


def judge(schema: object) -> Judge:
    return Judge(json.dumps(schema).encode())


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        ('{"good":true}', None, ""),
        (' {"good": false, "tags": ["a"]}\n', None, ""),
        ('{"good":1}', "/good", 'is not of type "boolean"'),
        ('{"good":true,"tags":["a",3]}', "/tags/1", 'is not of type "string"'),
        ("{}", "", '"good" is a required property'),
        ('{"good":true,"x~/y":1}', "", "Additional properties are not allowed"),
        ("[]", "", 'is not of type "object"'),
        ('{"good":tr', "", "The answer is not JSON."),
        ('```json\n{"good":true}\n```', "", "The answer is not JSON."),
        ("", "", "The answer is empty"),
        ("NaN", "", "The answer is not JSON."),
        ('{"good":true,"tags":["\\ud800"]}', None, ""),
    ],
)
def test_answers(text: str, path: str | None, words: str) -> None:
    fault = judge(VERDICT).fault(text)
    if path is None:
        assert fault is None
    else:
        assert fault is not None
        assert fault.path == path
        assert words in fault.message


def test_a_fault_tells_the_place_and_not_the_answer() -> None:
    schema = {"properties": {"a/b~c": {"items": {"maxLength": 3}}}}
    assert judge(schema).fault('{"a/b~c":["x","secret words"]}') == Fault(
        "the value is longer than 3 characters", "/a~1b~0c/1"
    )


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "nonsense"},
        {"properties": []},
        {"pattern": "("},
        {"pattern": "(?=a)b"},
        {"$ref": "#/$defs/absent"},
        {"$ref": "#"},
        {"allOf": [{"$ref": "#"}]},
        {"$ref": "#name", "$defs": {"x": {"$anchor": "name"}}},
        {"$id": "http://a/", "$defs": {"x": {"$id": "http://b/", "type": "string"}}, "$ref": "#/$defs/x"},
        {"unevaluatedProperties": False},
        {"$schema": "http://nobody.example/dialect", "type": "integer"},
        {"pattern": "(a{1000}){1000}"},
        3,
        [],
        None,
    ],
)
def test_by_what_does_not_compile_nothing_is_judged_but_json(schema: object) -> None:
    assert judge(schema).fault('"x"') is None
    assert judge(schema).fault("x") is not None
    assert Judge(b"{").fault("{}") is None


def test_nothing_is_ever_fetched() -> None:
    """Neither by a reference, nor for a dialect."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        here = f"http://127.0.0.1:{listening.getsockname()[1]}/s.json"
        for reference in (here, "file:///etc/hostname", "s.json", "https://json-schema.org/draft-07/schema"):
            assert judge({"$ref": reference}).fault("1") is None
            assert judge({"properties": {"a": {"$ref": reference}}}).fault('{"a":1}') is None
            assert judge({"$schema": reference, "type": "object"}).fault("{}") is None
        assert judge({"$schema": here, "type": "string"}).fault("1") is None
        listening.setblocking(False)
        with pytest.raises(BlockingIOError):
            listening.accept()


def doubling(levels: int) -> dict[str, Any]:
    """Each level asks twice of the next."""
    part: dict[str, Any] = {f"a{at}": {"allOf": [{"$ref": f"#/$defs/a{at + 1}"}] * 2} for at in range(levels)}
    return {"$ref": "#/$defs/a0", "$defs": part | {f"a{levels}": {"type": "string"}}}


BOTH_WAYS = {
    "allOf": [{"properties": {"a": {"$ref": "#"}}}, {"patternProperties": {"a": {"$ref": "#"}}}],
    "type": "object",
}


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        (doubling(30), "1"),
        (BOTH_WAYS, '{"a":' * 30 + "1" + "}" * 30),
        ({"pattern": "(a{1,50}){1,50}b"}, json.dumps("a" * 100_000)),
        ({"pattern": r"^(\w|a)*a(\w|b){40}$"}, json.dumps("ab" * 100_000)),
        ({"items": {"$ref": "#"}}, "[" * 5000 + "]" * 5000),
        ({"items": {"$ref": "#"}}, "[" * 200 + "]" * 200),
        ({"type": "integer"}, json.dumps("x" * TEXT_MAX)),
        ({"type": "string"}, "9" * 5000),
        ({"enum": list(range(3000))}, json.dumps(list(range(3000)))),
    ],
    ids=["doubling", "both-ways", "repetition", "wide", "very-deep", "deep", "long", "long-number", "fits"],
)
def test_what_could_take_long_is_not_judged(schema: object, text: str) -> None:
    """Each of these would take seconds, years or the stack, except the last, which is judged."""
    fault = judge(schema).fault(text)
    assert (fault is not None) == (text.startswith("[0"))


@pytest.mark.parametrize("schema", [{"$ref": "#"}, {"not": {"anyOf": [{"$ref": "#"}]}}, {"if": {"$ref": "#/if"}}])
def test_a_schema_that_asks_itself_of_the_same_value_is_none(schema: object) -> None:
    with pytest.raises(Unbounded):
        Measure(schema)


def test_deep_recursion_that_costs_little_is_judged() -> None:
    tree = {
        "$ref": "#/$defs/node",
        "$defs": {
            "node": {
                "type": "object",
                "properties": {
                    "left": {"$ref": "#/$defs/node"},
                    "right": {"$ref": "#/$defs/node"},
                    "n": {"type": "integer"},
                },
            }
        },
    }
    value: dict[str, Any] = {"n": "not so"}
    for depth in range(40):
        value = {"left" if depth % 2 else "right": value, "n": depth}
    fault = judge(tree).fault(json.dumps(value))
    assert fault is not None
    assert fault.path.endswith("/n")


def test_a_long_answer_of_a_usual_schema_is_judged() -> None:
    schema = {"items": {**VERDICT, "properties": {**VERDICT["properties"], "n": {"type": "integer"}}}}
    rows: list[dict[str, Any]] = [{"good": True, "tags": ["a", "b"], "n": 7} for _ in range(4000)]
    rows[-1]["n"] = "x"
    fault = judge(schema).fault(json.dumps(rows))
    assert fault is not None
    assert fault.path == "/3999/n"


def test_judges_are_kept_by_their_schema() -> None:
    judges = Judges()
    endpoint = "/v1/chat/completions"

    def body(number: int, title: str = "") -> bytes:
        format = {"type": "json_schema", "json_schema": {"schema": {"const": number, "title": title}}}
        return json.dumps({"response_format": format}).encode()

    first = judges.of(endpoint, body(0))
    assert first is judges.of(endpoint, body(0))
    for number in range(1, KEPT_MAX):
        judges.of(endpoint, body(number))
    assert judges.of(endpoint, body(0)) is first
    judges.of(endpoint, body(KEPT_MAX))
    assert judges.of(endpoint, body(0)) is first
    assert len(judges._known) == KEPT_MAX
    for number in range(20):
        judges.of(endpoint, body(number, "x" * 100_000))
    assert sum(size for _, size in judges._known.values()) == judges._bytes <= KEPT_BYTES
    assert len(judges._known) == 10
    assert judges.of(endpoint, b'{"response_format":{"type":"text"}}') is None


def test_every_choice_is_judged() -> None:
    reply = {"choices": [{"message": {"content": '{"good":true}'}}, {"message": {"content": "{}"}}]}
    fault = fault_of(judge(VERDICT), "/v1/chat/completions", json.dumps(reply).encode())
    assert fault is not None


values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-2, 2) | st.text("ab~/", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=1), inner, max_size=3),
    max_leaves=8,
)
TYPES = ("object", "array", "string", "integer", "number", "boolean", "null")


def closed(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    named = st.dictionaries(st.text("ab", max_size=1), inner, max_size=2)
    return st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(TYPES),
            "properties": named,
            "patternProperties": st.dictionaries(st.sampled_from(["a", "^b", "[ab]"]), inner, max_size=1),
            "additionalProperties": inner,
            "items": inner,
            "anyOf": st.lists(inner, min_size=1, max_size=2),
            "oneOf": st.lists(inner, min_size=1, max_size=2),
            "allOf": st.lists(inner, min_size=1, max_size=2),
            "not": inner,
            "enum": st.lists(values, min_size=1, max_size=2, unique_by=repr),
            "minimum": st.integers(-2, 2),
            "maxLength": st.integers(0, 2),
            "required": st.lists(st.sampled_from(["a", "b"]), unique=True),
        },
    )


schemas = st.recursive(st.booleans() | st.just({}), closed, max_leaves=6)


@given(schemas, values)
def test_it_says_what_another_validator_says(schema: Any, value: Any) -> None:
    valid = jsonschema.Draft202012Validator(schema).is_valid(value)
    assert (judge(schema).fault(json.dumps(value)) is None) == valid


@given(
    st.one_of(schemas.map(json.dumps), values.map(json.dumps), st.text()), st.one_of(values.map(json.dumps), st.text())
)
def test_no_schema_and_no_answer_breaks_it(schema: str, text: str) -> None:
    """Whatever stands there, it says the same twice, and never raises."""
    one = Judge(schema.encode(errors="replace"))
    found = one.fault(text)
    assert found == one.fault(text)
    assert found is None or len(found.message) <= 300


@given(st.recursive(st.booleans(), lambda inner: st.fixed_dictionaries({}, optional={
    "allOf": st.lists(inner, max_size=3),
    "anyOf": st.lists(inner, max_size=3),
    "properties": st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    "patternProperties": st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
    "additionalProperties": inner,
    "items": inner,
    "$ref": st.sampled_from(["#", "#/properties/a", "#/items", "#/additionalProperties"]),
}), max_leaves=12), values)  # fmt: skip
def test_references_in_any_shape_come_to_an_end(schema: Any, value: Any) -> None:
    judge(schema).fault(json.dumps(value))
    judge(schema).fault('{"a":' * 12 + "1" + "}" * 12)
