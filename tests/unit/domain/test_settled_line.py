"""A line of an output or error file tells its custom_id and the code of its error."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrouter.domain.layout import layout
from batchrouter.domain.outcome import Outcome, Record, pack
from batchrouter.domain.output_line import error_line, gap_line, id_prefix, response_line
from batchrouter.domain.settled_line import custom_id_of, error_code_of, told

PREFIX = id_prefix("batch_" + "0f" * 16)


@given(st.text(st.characters(codec="utf-8"), max_size=20), st.integers(0, 2**31))
def test_a_line_tells_its_custom_id_as_it_stands(custom_id: str, line: int) -> None:
    token = json.dumps(custom_id).encode()
    for written in (
        response_line(PREFIX, line, 1, token, 200, b"{}", None),
        error_line(PREFIX, line, token, b'{"code":"x"}'),
        gap_line(PREFIX, line, token, Outcome.EXPIRED),
    ):
        assert custom_id_of(written) == token
        assert told(custom_id_of(written)) == custom_id


def test_a_line_of_another_form_tells_it_too() -> None:
    assert custom_id_of(b'{"x":1,"custom_id":"a"}\n') == b'"a"'
    assert custom_id_of(b'{"x":1}\n') == b"null"
    assert told(b"null") == ""
    assert told(b'"\\ud800"') == "\ud800", "which is no Unicode, and can be told"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"error":{"code":"rate_limit","type":"requests"}}', "rate_limit"),
        (b'{"error":{"code":null,"type":"requests"}}', "requests"),
        (b'{"error":{"code":429}}', "429"),
        (b'{"error":{"code":true,"type":"t"}}', "t"),
        (b'{"error":{"message":"only words"}}', None),
        (b'{"error":"only words"}', None),
        (b'{"error":null}', None),
        (b'{"detail":"x"}', None),
        (b'["x"]', None),
        (b"null", None),
    ],
)
def test_the_code_of_a_reply_is_that_of_its_body(body: bytes, code: str | None) -> None:
    assert error_code_of(response_line(PREFIX, 1, 1, b'"a"', 400, body, None)) == code


def test_the_code_of_a_line_without_a_reply_is_its_own() -> None:
    assert error_code_of(error_line(PREFIX, 1, b'"a"', b'{"code":"no_reply","message":"x"}')) == "no_reply"
    assert error_code_of(gap_line(PREFIX, 1, b'"a"', Outcome.CANCELLED)) == "batch_cancelled"
    assert error_code_of(b"no JSON\n") is None


@given(st.permutations(range(12)), st.lists(st.booleans(), min_size=12, max_size=12), st.integers(0, 12))
def test_a_folded_line_lies_behind_those_before_it_in_its_file(order: list[int], good: list[bool], cut: int) -> None:
    """Of its range: lines of others, and records that did not count, take no room."""
    sizes = [3 + 2 * line for line in range(12)]
    records = [
        Record(line, line // 8, 1, 1, 0 if good[line] else 1, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, sizes[line])
        for line in order
    ]
    segments = [((1 << cut) - 1, pack(records[:cut])), ((1 << (12 - cut)) - 1, pack([*records[cut:], records[0]]))]
    places = layout(0, 8, segments)
    assert sorted(places) == list(range(8))
    for line, place in places.items():
        before = [each for each in range(line) if good[each] == good[line]]
        assert place == (good[line], sum(sizes[each] for each in before), sizes[line])
