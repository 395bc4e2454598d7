from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from batchrouter.errors import InputError
from batchrouter.tables import Asked, Form, Requests, Template, open_table, read_schema, schema_of
from batchrouter.tables.table import Kind
from tests.unit.tables.sources import Memory

ROWS = b"id,text\nx,hello\ny,\n"
SCHEMA = {
    "title": "A verdict!",
    "type": "object",
    "properties": {"good": {"type": "boolean"}, "why": {"type": ["string", "null"]}, "tags": {"type": "array"}},
    "required": ["good", "why", "tags"],
    "additionalProperties": False,
}


def requests(data: bytes = ROWS, form: Form = Form.CSV, prompt: str = "Say {text}", **asked: Any) -> Requests:
    return Requests(open_table(Memory(data), form), Asked(prompt=Template(prompt), model="m", **asked))


def lines(made: Requests) -> list[dict[str, Any]]:
    return [json.loads(line) for line in b"".join(made.chunks()).splitlines()]


def test_a_row_is_a_chat() -> None:
    made = requests(system="Be {brief}", settings={"max_tokens": 5}, provider="p")
    first, second = lines(made)
    assert first == {
        "custom_id": "1",
        "method": "POST",
        "url": "/v1/chat/completions",
        "provider": "p",
        "body": {
            "model": "m",
            "messages": [{"role": "system", "content": "Be {brief}"}, {"role": "user", "content": "Say hello"}],
            "max_tokens": 5,
        },
    }
    assert second["body"]["messages"][1]["content"] == "Say "
    assert made.empty == {"text": 1}
    assert list(made.chunks()) == list(made.chunks())
    assert made.empty == {"text": 1}


def test_a_schema_has_its_place_in_chats_and_responses() -> None:
    schema = schema_of(SCHEMA, "s")
    told = {"name": "A_verdict", "schema": SCHEMA, "strict": True}
    chat = lines(requests(schema=schema))[0]["body"]
    assert chat["response_format"] == {"type": "json_schema", "json_schema": told}
    response = lines(requests(schema=schema, endpoint="/v1/responses", system="s"))[0]["body"]
    assert response["text"] == {"format": {"type": "json_schema", **told}}
    assert (response["input"], response["instructions"]) == ("Say hello", "s")


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        ("/v1/embeddings", {"model": "m", "input": "Say hello"}),
        ("/v1/completions", {"model": "m", "prompt": "Say hello"}),
        ("/v1/moderations", {"model": "m", "input": "Say hello"}),
    ],
)
def test_endpoints_that_take_one_text(endpoint: str, body: dict[str, Any]) -> None:
    assert lines(requests(endpoint=endpoint))[0]["body"] == body


def test_ids_are_numbers_or_those_of_a_column() -> None:
    assert list(requests().ids()) == ["1", "2"]
    made = requests(id_column="id")
    assert list(made.ids()) == [line["custom_id"] for line in lines(made)] == ["x", "y"]
    numbered = requests(b'{"id":7,"text":"a"}\n', Form.JSONL, id_column="id")
    assert list(numbered.ids()) == ["7"]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"prompt": "{tex}"}, "the prompt names a column 'tex' that rows does not have; did you mean 'text'?"),
        ({"id_column": "idd"}, "--id-column names a column 'idd'"),
        ({"settings": {"model": "x"}}, "--set model is what another option says already"),
        ({"settings": {"messages": []}}, "--set messages"),
        ({"endpoint": "/v1/images/generations"}, "a table cannot be asked through /v1/images/generations"),
        ({"endpoint": "/v1/embeddings", "system": "s"}, "/v1/embeddings has no place for --system"),
        ({"endpoint": "/v1/embeddings", "schema": schema_of(SCHEMA, "s")}, "no place for --schema"),
    ],
)
def test_what_cannot_be_asked(asked: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as raised:
        requests(**asked)
    assert words in str(raised.value)


def test_a_cell_that_is_no_text_and_a_row_without_an_id_are_told() -> None:
    with pytest.raises(InputError, match="the row with id 2 has a list, an object or bytes in column 'text'"):
        lines(requests(b'{"text":"a"}\n{"text":["a"]}\n', Form.JSONL))
    with pytest.raises(InputError, match="row 2 has no id in column 'id'"):
        lines(requests(b"id,text\n1,a\n,b\n", id_column="id"))


def test_what_a_schema_says_of_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "verdict.json"
    path.write_text(json.dumps(SCHEMA))
    found = read_schema(path)
    assert found.columns == {"good": Kind.TRUTH, "why": Kind.TEXT, "tags": Kind.JSON}
    nested = {"$ref": "#/$defs/A", "$defs": {"A": {"properties": {"n": {"type": "integer"}, "x": {"anyOf": []}}}}}
    assert schema_of(nested, "my schema").columns == {"n": Kind.WHOLE, "x": Kind.JSON}
    assert schema_of(nested, "my schema").name == "my_schema"
    assert not schema_of(nested, "s").strict
    assert not schema_of({**SCHEMA, "required": ["good"]}, "s").strict


@pytest.mark.parametrize(("text", "words"), [("{", "is no JSON"), ("true", "no JSON schema"), ("[" * 99999, "no JSON")])
def test_what_is_no_schema(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "s.json"
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        read_schema(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_schema(tmp_path / "absent")
