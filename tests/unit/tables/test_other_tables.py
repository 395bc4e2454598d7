"""Rows from Parquet and JSONL."""

from __future__ import annotations

import builtins
import datetime
import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchrouter.errors import ConfigError, InputError
from batchrouter.tables import Form, PipedBytes, open_table
from batchrouter.tables.table import Kind, text_of, written
from tests.unit.tables.sources import Memory


def parquet(table: pa.Table, **options: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(table, file, **options)
    return file.getvalue()


def test_parquet_is_read_in_row_groups_and_in_pieces_of_them() -> None:
    data = parquet(pa.table({"n": range(10_000), "t": ["x"] * 10_000}), row_group_size=7000)
    table = open_table(Memory(data), Form.PARQUET)
    assert table.columns == ("n", "t")
    assert [row[0] for row in table.rows(("n",))] == list(range(10_000))
    assert next(iter(table.rows(("t", "n")))) == ("x", 0)
    assert sum(1 for _ in table.rows(())) == 10_000


def test_values_of_parquet_as_text() -> None:
    data = parquet(
        pa.table(
            {
                "ns": pa.array([1_767_323_045_000_000_001, None], pa.timestamp("ns")),
                "day": [datetime.date(2026, 1, 2), None],
                "whole": [1, None],
                "number": [1.5, None],
                "truth": [True, None],
                "list": [[1, 2], None],
                "bytes": [b"\xff", None],
            }
        )
    )
    table = open_table(Memory(data), Form.PARQUET)
    first, second = table.rows(table.columns)
    assert [text_of(cell) for cell in first] == ["2026-01-02T03:04:05", "2026-01-02", "1", "1.5", "true", None, None]
    assert [written(cell) for cell in first[-2:]] == ["[1, 2]", '"/w=="']
    assert [text_of(cell) for cell in second] == [""] * 7


def test_what_is_no_parquet() -> None:
    with pytest.raises(InputError, match="rows is no Parquet file"):
        open_table(Memory(b"a,b\n"), Form.PARQUET)


def test_without_the_library_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=r"pip install 'batchrouter\[parquet\]'"):
        open_table(Memory(b""), Form.PARQUET)


def test_json_rows_may_have_different_keys() -> None:
    table = open_table(Memory(b'\xef\xbb\xbf{"a":1,"b":"x"}\n\n{"b":"y","c":[1]}\n{"a":2.5,"d":null}\n'), Form.JSONL)
    assert table.columns == ("a", "b", "c", "d")
    assert table.kinds == (Kind.NUMBER, Kind.TEXT, Kind.JSON, Kind.TEXT)
    assert list(table.rows(("c", "a"))) == [(None, 1), ([1], None), (None, 2.5)]


@pytest.mark.parametrize("line", [b"[1]", b"{", b"\xff", b'"x"', b"[" * 100_000])
def test_a_line_that_is_no_row_is_told(line: bytes) -> None:
    with pytest.raises(InputError, match="rows: row 2 is no JSON object"):
        open_table(Memory(b'{"a":1}\n' + line + b"\n"), Form.JSONL)


def test_a_delimiter_is_not_for_other_forms() -> None:
    with pytest.raises(InputError, match="--delimiter is for CSV and TSV"):
        open_table(Memory(b'{"a":1}\n'), Form.JSONL, ";")


def test_a_pipe_can_be_read_twice_at_the_same_time() -> None:
    piped = PipedBytes(io.BytesIO(b"a\n1\n2\n"))
    table = open_table(piped, Form.CSV)
    assert list(zip(table.rows(("a",)), table.rows(("a",)), strict=True)) == [(("1",), ("1",)), (("2",), ("2",))]
    data = parquet(pa.table({"n": [1, 2]}))
    assert list(open_table(PipedBytes(io.BytesIO(data)), Form.PARQUET).rows(("n",))) == [(1,), (2,)]
