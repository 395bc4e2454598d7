"""The index says what the bytes of each line say, whatever the bytes are and however they came."""

from __future__ import annotations

import inspect
import json
import sys

import pytest
import xxhash
from hypothesis import example, given
from hypothesis import strategies as st

from batchrouter.domain.indexer import MAX_MODELS, MAX_URLS, Indexer
from batchrouter.domain.line_errors import MAX_NESTING, LineFault
from batchrouter.domain.line_index import HEADER_BYTES, RECORD_BYTES, TRAILER_BYTES, IndexFlag, IndexView
from batchrouter.errors import InputError
from tests.unit.lines.indexing import chunks_of, file_of, index_of, line, open_index, records_of

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
members = st.dictionaries(st.sampled_from(["custom_id", "method", "url", "provider", "body", "x"]), json_values)
bodies = st.dictionaries(st.sampled_from(["model", "stream", "messages", "input", "prompt", "tools"]), json_values)
near_lines = st.builds(
    lambda rest, body: json.dumps({"custom_id": "a", "method": "POST", "url": "/v1/embeddings", **rest, "body": body}),
    st.dictionaries(st.sampled_from(["provider", "url"]), json_values, max_size=1),
    bodies,
)
any_lines = st.one_of(st.binary(max_size=30), members.map(json.dumps).map(str.encode), near_lines.map(str.encode))
files = st.lists(any_lines, max_size=6).map(b"\n".join)


@given(files)
@example(b'{"custom_id":"\\ud800"}')
@example(b'{"custom_id":"a","method":"POST","url":"u","body":{"messages":[{"role":1}]}}')
@example(b'{"custom_id":"a","method":"POST","url":"u","body":{"messages":[[]]}}')
def test_no_bytes_whatever_raise(data: bytes) -> None:
    """Every line that is not blank has its record, sound or not, and the totals count them."""
    index = index_of([data])
    view, records = open_index(index), records_of(index)
    assert len(records) == view.totals.lines
    assert view.totals.errors == sum(record.error != 0 for record in records)
    assert view.totals.bytes == len(data)
    assert view.totals.embedding_inputs == sum(record.inputs for record in records)


@given(files, st.lists(st.integers(0, 200), max_size=8))
def test_the_cuts_of_the_stream_change_no_byte_of_the_index(data: bytes, cuts: list[int]) -> None:
    """Indexed in any pieces, a file has one index."""
    assert index_of(chunks_of(data, cuts)) == index_of([data])


def test_a_record_finds_its_line_and_names_its_parts() -> None:
    """Number, place, names, flags and the hash of the body's own bytes."""
    body = b'{"model": "m",  "prompt": 1}'
    data = b'\n{"custom_id": "x", "provider": "p", "method": "POST", "url": "/u", "body": ' + body + b"}\r\n"
    index = index_of([data])
    names = open_index(index).names
    (record,) = records_of(index)
    assert (record.line, record.offset, record.length) == (2, 1, len(data) - 3)
    assert (names.urls[record.url], names.providers[record.provider]) == ("/u", "p")
    assert names.models[record.model] == "m"
    assert record.body == xxhash.xxh3_128_digest(body)
    assert record.flags == IndexFlag.PROMPT
    assert record.error == LineFault.NONE


def test_slices_are_the_whole() -> None:
    """Records read in slices are those read at once, and a slice past the end is cut."""
    index = index_of([file_of(*(line(custom_id=str(i % 7)) for i in range(10)))])
    whole = records_of(index)
    assert [record for first in range(0, 12, 3) for record in records_of(index, first, 3)] == whole
    assert sum(record.error == LineFault.DUPLICATE_CUSTOM_ID for record in whole) == 3


@pytest.mark.parametrize(
    ("value", "inputs"),
    [("one", 1), (["a", "b"], 2), ([1, 2, 3], 1), ([[1, 2], [3]], 2), ([], 0), ({"a": 1}, 0), (None, 0), ([-1, 2], 1)],
)
def test_embedding_inputs_are_counted_as_the_endpoint_does(value: object, inputs: int) -> None:
    """A text or one list of tokens is one input; a list of either is one for each."""
    (record,) = records_of(index_of([line(url="/v1/embeddings", body={"model": "m", "input": value})]))
    assert record.inputs == inputs
    (record,) = records_of(index_of([line(url="/v1/responses", body={"model": "m", "input": value})]))
    assert record.inputs == 0


SYSTEM = {"role": "system", "content": "be brief"}
DEVELOPER = {"content": "be kind", "role": "developer"}


def prefix_of(**body: object) -> int:
    (record,) = records_of(index_of([line(body={"model": "m", **body})]))
    return record.prefix


def test_lines_that_begin_alike_share_a_prefix() -> None:
    """Tools and leading system or developer messages make the prefix; later messages and the model do not."""
    asked = [{"role": "user", "content": "one"}], [{"role": "user", "content": "two"}]
    first, second = (prefix_of(messages=[SYSTEM, DEVELOPER, *user]) for user in asked)
    assert first == second != 0
    assert first == prefix_of(messages=[SYSTEM, DEVELOPER, *asked[0], SYSTEM])
    assert first != prefix_of(messages=[SYSTEM, *asked[0]])
    assert first != prefix_of(messages=[SYSTEM, DEVELOPER, *asked[0]], tools=[{"type": "function"}])
    assert prefix_of(instructions="x", input="1") == prefix_of(instructions="x", input="2") != 0
    assert prefix_of(messages=asked[0]) == 0


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
@pytest.mark.parametrize("inside", [b"", b'"[{\\"[{\\\\",'])
def test_nesting_has_one_bound_wherever_the_line_is_read(opening: bytes, inside: bytes) -> None:
    """500 levels are sound and 501 are not, even for a caller whose stack is deep; brackets in text do not count."""

    def record(levels: int) -> int:
        closing = b"]" if opening == b"[" else b"}"
        nested = opening * (levels - 2) + b"1" + closing * (levels - 2)
        text = b'"t":[' + (inside * 300)[:-1] + b"]," if inside else b""
        body = b'{"model":"m","messages":[],' + text + b'"x":' + nested + b"}"
        raw = b'{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":' + body + b"}"
        return records_of(index_of([raw]))[0].error

    def deeper(frames: int, levels: int) -> int:
        return record(levels) if not frames else deeper(frames - 1, levels)

    for frames in (0, 200):
        assert deeper(frames, MAX_NESTING) == LineFault.NONE
        assert deeper(frames, MAX_NESTING + 1) == LineFault.TOO_DEEP


def test_a_stack_that_is_all_but_used_up_condemns_a_line_and_raises_nothing() -> None:
    """The bound on nesting leaves room for any sane caller; for others the line is too deep."""
    nested = b"[" * 400 + b"]" * 400
    raw = b'{"custom_id":"a","method":"POST","url":"/v1/responses","body":{"model":7,"x":' + nested + b"}}"

    def deeper(frames: int) -> int:
        return records_of(index_of([raw]))[0].error if not frames else deeper(frames - 1)

    used = len(inspect.stack(0))
    for spare in range(100, 600, 10):
        assert deeper(sys.getrecursionlimit() - used - spare) in (LineFault.TOO_DEEP, LineFault.MODEL_TYPE)
    assert deeper(0) == LineFault.MODEL_TYPE


def test_names_are_bounded_in_number() -> None:
    """A file cannot make the index remember names without end; what came first stays usable."""
    many = [line(custom_id=f"m{i}", body={"model": f"m{i}", "messages": []}) for i in range(MAX_MODELS + 2)]
    errors = [record.error for record in records_of(index_of([file_of(*many, many[0])]))]
    assert errors[:MAX_MODELS] == [LineFault.NONE] * MAX_MODELS
    assert errors[MAX_MODELS:] == [LineFault.TOO_MANY_NAMES] * 2 + [LineFault.DUPLICATE_CUSTOM_ID]
    urls = [line(custom_id=f"u{i}", url=f"/{i}") for i in range(MAX_URLS + 1)]
    assert records_of(index_of([file_of(*urls)]))[-1].error == LineFault.TOO_MANY_NAMES


@pytest.mark.parametrize(
    ("data", "is_object"),
    [
        (b"", False),
        (b"\n \n", False),
        (b"{bad\n{}", False),
        (b"[]", False),
        (b'{"a":"\xff"}', False),
        (b"{}\n{bad", True),
        (b"\xef\xbb\xbf\n{}", True),
    ],
)
def test_the_first_line_tells_whether_this_is_jsonl(data: bytes, is_object: bool) -> None:
    """What an upload is judged by: a JSON object first, whatever follows."""
    assert open_index(index_of([data])).totals.first_line_is_object is is_object


def test_totals_are_told_while_bytes_still_come() -> None:
    """Progress of an upload: lines and bytes so far."""
    indexer = Indexer()
    indexer.feed(line() + b"\n" + b"{")
    assert (indexer.totals.lines, indexer.totals.errors) == (1, 0)
    indexer.finish()
    assert (indexer.totals.lines, indexer.totals.errors) == (2, 1)


def test_a_damaged_index_is_refused_with_what_to_do() -> None:
    """Cut short, longer than it says, of another version, or no index at all: never read as if it were sound."""
    index = index_of([line()])
    wrong_version = bytearray(index)
    wrong_version[-12:-10] = b"\x09\x00"
    damaged = [b"", index[:-1], index[: HEADER_BYTES + RECORD_BYTES], b"x" * 200, index[:16] + index, wrong_version]
    torn_footer = bytearray(index)
    torn_footer[HEADER_BYTES + RECORD_BYTES] = 0
    padded = index[:-TRAILER_BYTES] + b" " + index[-TRAILER_BYTES:]
    for one in (*damaged, torn_footer, padded):
        with pytest.raises(InputError, match="index"):
            open_index(bytes(one))


def test_the_reader_of_an_index_asks_for_no_more_than_it_needs() -> None:
    """Spans lie inside the file: trailer, tail, records."""
    index = index_of([file_of(line(), line(custom_id="b"))])
    offset, length = IndexView.trailer_span(len(index))
    assert offset + length == len(index)
    tail_offset, tail_length = IndexView.tail_span(len(index), index[offset:])
    assert tail_offset + tail_length == offset
    assert open_index(index).records_span(1, 50) == (HEADER_BYTES + RECORD_BYTES, RECORD_BYTES)
    assert open_index(index).records_span(2, 50)[1] == 0
