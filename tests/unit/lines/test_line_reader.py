"""The lines of a file are the same wherever its bytes were cut, and no line is held that is longer than the bound."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batchrouter.domain.jsonl import LineReader, RawLine
from tests.unit.lines.indexing import chunks_of

BOM = b"\xef\xbb\xbf"
MAX = 6

pieces = st.sampled_from(
    [b"\n", b"\r", b"\r\n", b" ", b"\t", b"a", b"{}", b"abcdef", b"abcdefg", BOM, BOM[:2], b"\xff"]
)
files = st.lists(pieces, max_size=14).map(b"".join)
cuts = st.lists(st.integers(0, 60), max_size=8)


def read(chunks: list[bytes], max_line_bytes: int = MAX) -> list[RawLine]:
    reader = LineReader(max_line_bytes)
    return [line for chunk in chunks for line in reader.feed(chunk)] + reader.close()


def by_the_book(data: bytes, max_line_bytes: int = MAX) -> list[RawLine]:
    """What the reader promises, said with the whole file in memory."""
    start = len(BOM) if data.startswith(BOM) else 0
    lines = []
    for number, line in enumerate(data[start:].split(b"\n"), 1):
        content = line.removesuffix(b"\r")
        if len(content) > max_line_bytes:
            lines.append(RawLine(number, start, len(content), None))
        elif content and not content.isspace():
            lines.append(RawLine(number, start, len(content), content))
        start += len(line) + 1
    return lines


@given(files, cuts)
@example(BOM[:2], [1])
@example(b"abcdef\r\nabcdefg\r\n", [6, 7, 14, 15])
@example(BOM + b"abcdefgh\r", [1, 2, 4, 11])
def test_the_cuts_of_the_stream_change_nothing(data: bytes, places: list[int]) -> None:
    """Numbers, offsets, lengths and bytes are those of the whole file, for every way of cutting it."""
    assert read(chunks_of(data, places)) == by_the_book(data)


@given(files)
def test_one_byte_at_a_time_is_a_way_of_cutting(data: bytes) -> None:
    """A client that sends single bytes gets the same lines."""
    assert read([data[i : i + 1] for i in range(len(data))]) == by_the_book(data)


@given(files, cuts)
def test_every_line_stands_where_its_offset_says(data: bytes, places: list[int]) -> None:
    """Offset and length find the line's bytes in the file again."""
    for line in read(chunks_of(data, places)):
        span = data[line.offset : line.offset + line.length]
        assert b"\n" not in span
        assert line.data is None or span == line.data


def test_blank_lines_keep_their_numbers() -> None:
    """Empty lines and lines of white space are skipped and counted."""
    assert [(line.number, line.data) for line in read([b"\n  \n\r\n{}\n\n[]"])] == [(4, b"{}"), (6, b"[]")]


@pytest.mark.parametrize("chunk_bytes", [1, 1000, 65536])
def test_a_line_over_the_bound_is_reported_once_and_never_held(chunk_bytes: int) -> None:
    """Four megabytes pass in far less memory than they have; the next line is read as ever."""
    long = b"x" * (1 << 12 if chunk_bytes == 1 else 1 << 22)
    data = b"{}\n" + long + b"\r\n[]\n"
    chunks = [data[i : i + chunk_bytes] for i in range(0, len(data), chunk_bytes)]
    reader = LineReader(100)
    tracemalloc.start()
    lines = [line for chunk in chunks for line in reader.feed(chunk)] + reader.close()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert lines == [
        RawLine(1, 0, 2, b"{}"),
        RawLine(2, 3, len(long), None),
        RawLine(3, 3 + len(long) + 2, 2, b"[]"),
    ]
    assert peak < 3 * chunk_bytes + 20_000
