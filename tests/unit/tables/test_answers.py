"""Answers beside their rows."""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrouter.errors import InputError
from batchrouter.tables import AnswerColumns, Form, in_order, open_table, schema_of, write_joined
from batchrouter.tables.answers import NOT_RUN
from tests.unit.tables.sources import Memory

SCHEMA = schema_of(
    {"properties": {"text": {"type": "string"}, "n": {"type": "integer"}, "x": {"type": "number"}, "l": {}}}, "s"
)


def line(custom_id: str, body: object, status: int = 200, **more: object) -> bytes:
    response = {"status_code": status, "request_id": "r", "body": body}
    return json.dumps({"id": "i", "custom_id": custom_id, "response": response, "error": None, **more}).encode() + b"\n"


def chat(content: object, finish: str = "stop", **message: object) -> dict[str, Any]:
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 2}}
    choice = {"message": {"role": "assistant", "content": content, **message}, "finish_reason": finish}
    return {"model": "m", "choices": [choice], "usage": usage}


def cells(data: bytes | None, **more: Any) -> dict[str, object]:
    columns = AnswerColumns((), **more)
    return dict(zip(columns.names, columns.cells(data), strict=True))


def test_a_chat() -> None:
    assert cells(line("a", chat("hello")), price=lambda read, cached, said: read + cached / 10 + said / 100) == {
        "answer": "hello",
        "finish_reason": "stop",
        "error": None,
        "input_tokens": 3,
        "output_tokens": 4,
        "cost_usd": 3.24,
    }


@pytest.mark.parametrize(
    ("data", "answer", "finish", "error"),
    [
        (None, None, None, NOT_RUN),
        (line("a", chat("half", "length")), "half", "length", None),
        (line("a", chat(None, refusal="no")), None, "stop", "refusal: no"),
        (line("a", chat(None, tool_calls=[{"id": "t"}])), '[{"id":"t"}]', "stop", None),
        (
            line("a", chat("x"), batchrouter={"invalid_output": {"message": "not so"}}),
            "x",
            "stop",
            "invalid_output: not so",
        ),
        (line("a", {"choices": []}), None, None, None),
        (line("a", {"choices": [{"text": "t", "finish_reason": "stop"}]}), "t", "stop", None),
        (line("a", {"data": [{"embedding": [0.5, 1]}]}), "[0.5,1]", None, None),
        (line("a", {"results": [{"flagged": False}]}), '[{"flagged":false}]', None, None),
        (line("a", {"error": {"message": "no", "code": "bad"}}, 400), None, None, "400 bad: no"),
        (line("a", {"error": {"message": "no", "type": "t"}}, 500), None, None, "500 t: no"),
        (line("a", {"error": "no"}, 500), None, None, "500"),
        (line("a", [1], 200), "[1]", None, None),
        (b'{"custom_id":"a","response":null,"error":{"code":"timeout","message":"m"}}', None, None, "timeout: m"),
        (line("a", chat("\ud800 \\ud800")), "\ufffd \\ud800", "stop", None),
    ],
)
def test_what_lines_say(data: bytes | None, answer: str | None, finish: str | None, error: str | None) -> None:
    found = cells(data)
    assert (found["answer"], found["finish_reason"], found["error"]) == (answer, finish, error)


def test_a_response() -> None:
    output = [
        {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "hm"}]},
        {"type": "message", "content": [{"type": "output_text", "text": "a"}, {"type": "output_text", "text": "b"}]},
    ]
    body = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "output": output}
    found = cells(line("a", {**body, "usage": {"input_tokens": 1, "output_tokens": 2}}))
    assert found == {
        "answer": "ab",
        "finish_reason": "max_output_tokens",
        "error": None,
        "input_tokens": 1,
        "output_tokens": 2,
    }


def test_properties_of_a_schema_are_columns() -> None:
    answer = {"text": "t", "n": 5.0, "x": 1, "l": [1], "more": 0}
    found = cells(line("a", chat(json.dumps(answer))), schema=SCHEMA)
    assert (found["text"], found["n"], found["x"], found["l"]) == ("t", 5, 1.0, "[1]")
    wrong = {"text": 5, "n": True, "x": "1", "l": None}
    for content in (json.dumps(wrong), "no json", "[]", None, '{"n":99999999999999999999}'):
        found = cells(line("a", chat(content)), schema=SCHEMA)
        assert (found["text"], found["n"], found["x"], found["l"]) == (None,) * 4


def test_names_that_are_taken_are_prefixed() -> None:
    columns = AnswerColumns(("answer", "answer_answer", "text", "error"), SCHEMA)
    assert columns.names == (
        "answer_answer_answer",
        "answer_text",
        "n",
        "x",
        "l",
        "finish_reason",
        "answer_error",
        "input_tokens",
        "output_tokens",
    )
    assert AnswerColumns((), schema_of({"properties": {"answer": {}, "error": {}}}, "s")).names[:5] == (
        "answer",
        "answer_answer",
        "error",
        "finish_reason",
        "answer_error",
    )


@given(st.lists(st.integers(0, 2), max_size=30))
def test_lines_of_two_files_in_the_order_of_the_rows(where: list[int]) -> None:
    """Each row in the first file, in the second, or in none."""
    ids = [str(number) for number in range(len(where))]
    files = [[line(each, {}) for each, place in zip(ids, where, strict=True) if place == file] for file in (0, 1)]
    found = list(in_order(ids, *files))
    assert [None if each is None else json.loads(each)["custom_id"] for each in found] == [
        each if place < 2 else None for each, place in zip(ids, where, strict=True)
    ]


def test_an_answer_without_its_row_is_told() -> None:
    with pytest.raises(InputError, match="the answer to '3' belongs to no row"):
        list(in_order(["1", "2"], [line("1", {}), line("3", {})]))


def write(data: bytes, form: Form, lines: Iterable[bytes | None], to: Form, delimiter: str | None = None) -> bytes:
    table = open_table(Memory(data), form, delimiter)
    file = io.BytesIO()
    write_joined(table, AnswerColumns(table.columns), lines, to, file)
    return file.getvalue()


LINES = [line("1", chat("one")), None]


def test_csv_is_written_as_it_was_read() -> None:
    made = write(b'\xef\xbb\xbfa;b\r\n1;"x\r\ny"\r\n2;\r\n', Form.CSV, LINES, Form.CSV, ";")
    assert made.startswith(b"\xef\xbb\xbfa;b;answer;")
    rows = list(csv.reader(io.StringIO(made.decode("utf-8-sig"), newline=""), delimiter=";"))
    assert rows[1] == ["1", "x\r\ny", "one", "stop", "", "3", "4"]
    assert rows[2] == ["2", "", "", "", NOT_RUN, "", ""]
    assert write(b"a\n1\n2\n", Form.CSV, LINES, Form.TSV).startswith(b"a\tanswer\t")


def test_parquet_keeps_the_types_of_its_columns() -> None:
    table = pa.table({"when": pa.array([1, None], pa.timestamp("ns")), "list": [[1], None]})
    file = io.BytesIO()
    pq.write_table(table, file)
    made = pq.read_table(io.BytesIO(write(file.getvalue(), Form.PARQUET, LINES, Form.PARQUET)))
    assert made.select(["when", "list"]).equals(table)
    assert made["answer"].to_pylist() == ["one", None]
    assert made["input_tokens"].to_pylist() == [3, None]


def test_a_long_parquet_has_many_row_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batchrouter.tables.writing.GROUP_BYTES", 1000)
    made = write(b"a\n" + b"x\n" * 5000, Form.CSV, [None] * 5000, Form.PARQUET)
    opened = pq.ParquetFile(io.BytesIO(made))
    assert (opened.num_row_groups, opened.metadata.num_rows) == (3, 5000)


def test_rows_of_json_have_types_in_parquet() -> None:
    rows = b'{"n":1,"b":true,"m":[1],"f":1}\n{"n":null,"s":"x","m":"y","f":0.5}\n'
    made = pq.read_table(io.BytesIO(write(rows, Form.JSONL, LINES, Form.PARQUET)))
    assert made.select(["n", "b", "m", "f", "s"]).to_pylist() == [
        {"n": 1, "b": True, "m": "[1]", "f": 1.0, "s": None},
        {"n": None, "b": None, "m": "y", "f": 0.5, "s": "x"},
    ]


@pytest.mark.parametrize("to", [Form.CSV, Form.PARQUET])
@pytest.mark.parametrize("lines", [[None], [None] * 3])
def test_as_many_answers_as_rows(to: Form, lines: list[None]) -> None:
    with pytest.raises((ValueError, InputError)):
        write(b"a\n1\n2\n", Form.CSV, lines, to)


def test_a_long_table_goes_through_in_slices() -> None:
    """However long it is, only a slice of it is looked at ahead of what is written."""
    rows = 20_000
    looked = 0

    def answers() -> Iterable[bytes]:
        nonlocal looked
        for number in range(rows):
            looked += 1
            yield line(str(number), chat("x" * random.Random(number).randrange(9)))

    class Watched(io.BytesIO):
        ahead = 0
        written = 0

        def write(self, data: Any, /) -> int:
            Watched.ahead = max(Watched.ahead, looked - self.written)
            self.written = looked
            return super().write(data)

    table = open_table(Memory(b"a\n" + b"1\n" * rows), Form.CSV)
    file = Watched()
    write_joined(table, AnswerColumns(table.columns), answers(), Form.CSV, file)
    assert looked == rows
    assert Watched.ahead < rows // 10
