"""Half an emoji is text like any other; in a name it is refused, as is whatever else is wrong with its line."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batchrouter.domain.line import decode_line
from batchrouter.domain.line_errors import LineFault
from batchrouter.domain.parsed_line import Condemned, embedding_inputs_of, parse_body, parse_line, prefix_hash_of
from batchrouter.domain.surrogates import mask

HALVES = st.sampled_from(["\ud83d", "\ude00", "\ue000", "\ue001", "😀", "\\", "\\ud83d", '"', "é", "a"])
TEXTS = st.lists(HALVES, max_size=8).map("".join)


def line_of(content: object, **members: object) -> bytes:
    body = {"model": "m", "messages": [{"role": "system", "content": content}], "input": [content, 1]}
    return json.dumps({"custom_id": "a", "method": "POST", "url": "/v1/x", "body": body, **members}).encode()


@given(TEXTS)
@example("cut \ud83d")
@example("\ude00\ud83d")
@example("\ud83d\ud83d\ude00")
def test_half_a_pair_is_accepted_wherever_the_upstream_reads_it(text: str) -> None:
    """What is indexed and what is sent are the bytes that were uploaded."""
    data = line_of(text)
    line = parse_line(data)
    body = parse_body(line.body)
    assert bytes(line.body) in data
    assert decode_line(data) == (b'"a"', bytes(line.body))
    assert json.loads(bytes(line.body))["messages"][0]["content"] == json.loads(json.dumps(text))
    assert (body.model, len(body.messages or []), embedding_inputs_of(body)) == ("m", 1, 2)
    assert prefix_hash_of(body)


@pytest.mark.parametrize("member", ["custom_id", "method", "url", "provider"])
def test_a_name_is_whole(member: str) -> None:
    """Names are kept as UTF-8, which has no halves."""
    with pytest.raises(Condemned) as told:
        parse_line(line_of("\ud83d", **{member: "a\ud83d"}))
    assert told.value.fault is LineFault.INVALID_JSON


def test_a_models_name_is_whole() -> None:
    with pytest.raises(Condemned) as told:
        parse_body(parse_line(line_of("", body={"messages": ["\ud83d"], "model": "m\ud83d"})).body)
    assert told.value.fault is LineFault.INVALID_JSON


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (line_of("\ud83d")[:-1], LineFault.INVALID_JSON),
        (line_of("\ud83d").replace(b"[", b"[NaN,", 1), LineFault.INVALID_JSON),
        (line_of("\ud83d").replace(b"\\ud83d", b"\\ud83"), LineFault.INVALID_JSON),
        (line_of("\ud83d", url=7), LineFault.URL_TYPE),
        (b'["\\ud83d"]', LineFault.NOT_AN_OBJECT),
    ],
)
def test_nothing_else_becomes_acceptable(data: bytes, fault: LineFault) -> None:
    with pytest.raises(Condemned) as told:
        parse_line(data)
    assert told.value.fault is fault


@given(st.lists(st.sampled_from([b"\\", b"\\ud83d", b"\\uDE00", b"\\ue000", b"u", b'"', b"\\\\"])).map(b"".join))
def test_a_mask_is_taken_off_exactly(data: bytes) -> None:
    """Whatever the text; and it has no other length."""
    masked = mask(data)
    if masked is not None:
        assert masked.restore(masked.data) == data
        assert len(masked.data) == len(data)
        assert mask(masked.data) is None


def test_more_halves_than_stand_ins_are_not_read() -> None:
    """No text of people has them."""
    assert mask(b"\\ud800" + b"".join(b"\\u%04x" % number for number in range(0xE000, 0xF900))) is None
