"""Byte ranges as RFC 9110 says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrouter.api.ranges import Span, Unsatisfiable, wanted_span


@pytest.mark.parametrize(
    ("header", "span"),
    [
        (None, None),
        ("bytes=0-0", Span(0, 1)),
        ("bytes=2-4", Span(2, 3)),
        ("bytes=2-", Span(2, 8)),
        ("bytes=8-99", Span(8, 2)),
        ("bytes=-3", Span(7, 3)),
        ("bytes=-99", Span(0, 10)),
        ("Bytes = 1 - 2", Span(1, 2)),
        ("bytes=10-", Unsatisfiable()),
        ("bytes=-0", Unsatisfiable()),
        ("bytes=5-2", None),
        ("bytes=-", None),
        ("bytes=0-1,3-4", None),
        ("lines=0-1", None),
        ("bytes=a-b", None),
        ("bytes=0-99999999999999999999", None),
    ],
)
def test_a_range_of_ten_bytes(header: str | None, span: Span | Unsatisfiable | None) -> None:
    assert wanted_span(header, 10) == span


@pytest.mark.parametrize("header", ["bytes=0-", "bytes=-5"])
def test_an_empty_file_satisfies_no_range(header: str) -> None:
    assert wanted_span(header, 0) == Unsatisfiable()


@given(st.text(max_size=30), st.integers(0, 100))
def test_a_span_always_lies_within_the_file(text: str, size: int) -> None:
    span = wanted_span(f"bytes={text}", size)
    if isinstance(span, Span):
        assert span.length > 0
        assert 0 <= span.offset <= span.offset + span.length <= size
