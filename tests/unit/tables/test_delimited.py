from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrouter.errors import InputError
from batchrouter.tables import Form, open_table
from tests.unit.tables.sources import Memory


def rows(data: bytes, delimiter: str | None = None, form: Form = Form.CSV) -> list[tuple[object, ...]]:
    table = open_table(Memory(data), form, delimiter)
    return [table.columns, *table.rows(table.columns)]


@pytest.mark.parametrize(
    "data",
    [
        b"a,b\n1,x\n2,y\n",
        b"a,b\r\n1,x\r\n2,y",
        b"\xef\xbb\xbfa,b\n1,x\n\n2,y\n\n",
        b'\xef\xbb\xbf"a","b"\r\n"1",x\r\n2,"y"\r\n',
    ],
    ids=["unix", "windows", "bom-and-empty-lines", "quoted-after-bom"],
)
def test_the_same_table_in_many_dialects(data: bytes) -> None:
    assert rows(data) == [("a", "b"), ("1", "x"), ("2", "y")]


def test_line_breaks_and_quotes_in_cells() -> None:
    assert rows(b'a,b\n"1\r\n2","say ""hi"", you"\n') == [("a", "b"), ("1\r\n2", 'say "hi", you')]


def test_cells_of_some_columns_in_any_order() -> None:
    table = open_table(Memory(b"a,b,c\n1,2,3\n4,5,6\n"), Form.CSV)
    assert list(table.rows(("c", "a", "c"))) == [("3", "1", "3"), ("6", "4", "6")]
    assert list(table.rows(("b",))) == [("2",), ("5",)]
    assert list(table.rows(())) == [(), ()]


@pytest.mark.parametrize(
    ("data", "delimiter", "form"),
    [
        (b"a;b\n1;x,y\n", ";", Form.CSV),
        (b"a\tb\n1\tx,y\n", None, Form.TSV),
        (b"a\tb\n1\tx,y\n", "tab", Form.CSV),
        (b"a;b\n1;x,y\n", "auto", Form.CSV),
        (b"a|b\n1|x,y\n", "auto", Form.CSV),
    ],
)
def test_delimiters(data: bytes, delimiter: str | None, form: Form) -> None:
    assert rows(data, delimiter, form) == [("a", "b"), ("1", "x,y")]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "has no columns"),
        (b"a,b,a\n", "the column 'a' twice, as number 1 and 3"),
        (b",a,\n", "a column without a name twice"),
        (b"a,b\n1,2\n3\n", "row 2 (line 3) has 1 cells, where the header has 2"),
        (b'a,b\n"1\n\n",2\n3,4,5\n', "row 2 (line 5) has 3 cells"),
        (b"a,b\n1,2\n3,\xff\n", "row 2 (line 3) is not UTF-8: byte 0xff at place 3"),
        (b"a,\xe4\n", "the header (line 1) is not UTF-8"),
        (b'a,b\n1,"2\n3,4\n', "row 1 (up to line 3): a quote is left open"),
        (b'a,b\n1,"2"x\n', "row 1 (up to line 2)"),
        (b"a,b\r1,2\r", "save it with line ends of Unix or Windows"),
        ("a,b\n1,2\n".encode("utf-16"), "is UTF-16; save it as UTF-8"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_row(data: bytes, words: str) -> None:
    with pytest.raises(InputError) as raised:
        rows(data)
    assert words in str(raised.value)
    assert str(raised.value).startswith("rows")


def test_a_quote_that_is_never_closed_does_not_take_all_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batchrouter.tables.delimited.CELL_MAX", 1000)
    before = csv.field_size_limit(1000)
    try:
        with pytest.raises(InputError, match="is a quote left open"):
            rows(b'a,b\n1,"' + b"x,\n" * 1000)
        with pytest.raises(InputError, match="a line is longer than 1,000 bytes"):
            rows(b"a,b\n1," + b"x" * 2000)
    finally:
        csv.field_size_limit(before)


@pytest.mark.parametrize("delimiter", ["", ";;", '"', "\n"])
def test_what_is_no_delimiter(delimiter: str) -> None:
    if delimiter:
        with pytest.raises(InputError, match="--delimiter is one character"):
            open_table(Memory(b"a\n"), Form.CSV, delimiter)


def test_a_delimiter_that_nothing_speaks_for() -> None:
    with pytest.raises(InputError, match="name it with --delimiter"):
        open_table(Memory(b"a\nb\n"), Form.CSV, "auto")


cells = st.text(st.characters(exclude_categories=("Cs",)), max_size=8).filter(lambda text: "\0" not in text)


@given(
    st.lists(st.tuples(cells, cells), max_size=6),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([b"", b"\xef\xbb\xbf"]),
)
def test_what_a_writer_writes_is_read_again(table: list[tuple[str, str]], end: str, bom: bytes) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerow(("a", "b"))
    writer.writerows(table)
    assert rows(bom + text.getvalue().encode()) == [("a", "b"), *table]
