"""What the options of a command make of a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from batchrouter.cli.run_files import PIPE, RunFiles
from batchrouter.cli.source import FileSource, TableSource
from batchrouter.cli.table_options import TableOptions, setting
from batchrouter.errors import InputError
from batchrouter.tables import FileBytes, Form


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "in.csv"
    path.write_text("id,text\n7,hello\n8,\n")
    return path


@pytest.mark.parametrize(
    ("told", "value"),
    [
        ("max_tokens=200", 200),
        ("temperature=0.5", 0.5),
        ("reasoning_effort=low", "low"),
        ("stop=null", None),
        ("user=a=b", "a=b"),
        ('metadata={"a": [1]}', {"a": [1]}),
        ("user=", ""),
    ],
)
def test_a_setting_is_json_or_a_word(told: str, value: object) -> None:
    assert setting(told) == (told.partition("=")[0], value)


@pytest.mark.parametrize("told", ["max_tokens", "=3", 'stop=["a"', "metadata={a:1}", 'user="x'])
def test_what_is_no_setting(told: str) -> None:
    with pytest.raises(InputError, match="--set"):
        setting(told)


def test_a_prompt_makes_a_table_of_a_file(table: Path, tmp_path: Path) -> None:
    prompt = tmp_path / "prompt.txt"
    prompt.write_text("Say {text}\n")
    options = TableOptions(prompt_file=prompt, model="m", settings=("max_tokens=5",), id_column="id")
    source = options.source(table, None)
    assert isinstance(source, TableSource)
    body = json.loads(b"".join(source.chunks()).splitlines()[0])["body"]
    assert body == {"model": "m", "messages": [{"role": "user", "content": "Say hello"}], "max_tokens": 5}
    assert list(source.ids()) == ["7", "8"]
    assert list(source.notes()) == ["1 row has nothing in column 'text': its place in the prompt is empty there."]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "is csv: say what is asked of each row, with --prompt and --model"),
        ({"form": Form.JSONL, "model": "m"}, "--model is for tables, with --prompt"),
        ({"form": Form.JSONL, "settings": ("a=1",)}, "--set is for tables"),
        ({"prompt": "{text}"}, "--prompt needs --model"),
        ({"prompt": "{text}", "prompt_file": Path("x"), "model": "m"}, "give one"),
        ({"prompt_file": Path("absent"), "model": "m"}, "absent cannot be read"),
        ({"prompt": "{txt}", "model": "m"}, "did you mean 'text'?"),
        ({"prompt": "{text}", "model": "m", "schema": Path("absent")}, "absent cannot be read"),
    ],
)
def test_options_that_do_not_fit_are_refused(table: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as raised:
        TableOptions(**options).source(table, None)
    assert words in str(raised.value)


def test_a_name_that_tells_no_form_needs_one(tmp_path: Path) -> None:
    path = tmp_path / "data.txt"
    path.write_text("text\nx\n")
    with pytest.raises(InputError, match="say so with --format"):
        TableOptions(prompt="{text}", model="m").source(path, None)
    assert TableOptions(prompt="{text}", model="m", form=Form.CSV).source(path, None).table.columns == ("text",)


def test_a_table_without_rows_is_refused(table: Path) -> None:
    table.write_text("text\n\n")
    with pytest.raises(InputError, match="has no rows"):
        list(TableOptions(prompt="{text}", model="m").source(table, None).chunks())


def test_requests_are_a_table_of_their_ids(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"custom_id":"a\\u0020b","body":{}}\n\n{"body":{},"custom_id":"c"}\r\n')
    source = FileSource(FileBytes(path))
    assert list(source.ids()) == ["a b", "c"]
    assert list(source.table.rows(source.table.columns)) == [("a b",), ("c",)]


@pytest.mark.parametrize(
    ("output", "errors", "to", "form", "made", "whole"),
    [
        ("out.jsonl", None, None, Form.JSONL, ["out.jsonl", "out.jsonl.errors.jsonl"], False),
        ("out", None, None, Form.JSONL, ["out", "out.errors.jsonl"], False),
        ("out.CSV", None, None, Form.CSV, ["out.CSV"], True),
        ("out.parquet", "e", None, Form.PARQUET, ["out.parquet", "e"], True),
        ("out.csv", None, Form.JSONL, Form.JSONL, ["out.csv", "out.csv.errors.jsonl"], False),
        ("-", None, None, Form.JSONL, [], True),
        ("-", "e", None, Form.JSONL, ["e"], False),
        ("-", "e", Form.CSV, Form.CSV, ["e"], True),
    ],
)
def test_what_is_written_where(
    output: str, errors: str | None, to: Form | None, form: Form, made: list[str], whole: bool
) -> None:
    files = RunFiles.of(PIPE, Path(output), None if errors is None else Path(errors), to)
    assert (files.form, [str(path) for path in files.made], files.whole) == (form, made, whole)
