"""Dispatch sends a body as it stands, but for its model."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batchrouter.domain.line import decode_line, splice_model
from batchrouter.errors import InputError

texts = st.text(max_size=6) | st.sampled_from(["model", '"model"', "\\u006dodel", '"model": "x"'])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
names = st.text(max_size=8) | st.sampled_from(['a"b', "back\\slash", "é☃"])
key_spellings = st.sampled_from(['"model"', '"mod\\u0065l"', '"\\u006dodel"', '"m\\u006Fdel"'])


@st.composite
def objects(draw: st.DrawFn) -> bytes:
    """JSON objects with none, one or several keys `model`, in several spellings, among anything else."""
    members = draw(st.lists(st.tuples(texts.map(json.dumps), json_values.map(json.dumps)), max_size=4))
    members += draw(st.lists(st.tuples(key_spellings, (names | st.none()).map(json.dumps)), max_size=2))
    space = draw(st.sampled_from(["", " ", "\t "]))
    parts = [f"{space}{key}{space}:{space}{value}" for key, value in draw(st.permutations(members))]
    return (space + "{" + ",".join(parts) + space + "}").encode()


@given(objects(), names)
@example(b'{"mod\\u0065l": "a", "messages": [{"model": "b"}]}', "c")
@example(b'{"model": "a", "mod\\u0065l": "b"}', "c")
@example(b'{"x": "model", "model": "a"}', "c")
@example(b'{"x": {"model": "a"}}', "c")
@example(b'{"x": "a", "y": "\\"model\\": ", "model":"a"}', "c")
def test_only_the_model_changes(body: bytes, model: str) -> None:
    """Whoever reads the spliced body finds the new model, and every other member as it was."""
    assert json.loads(splice_model(body, model)) == {**json.loads(body), "model": model}


@given(objects(), names)
def test_no_key_comes_twice_with_two_models(body: bytes, model: str) -> None:
    """A reader that takes the first of two equal keys finds the new model, too."""
    pairs = json.loads(splice_model(body, model), object_pairs_hook=list)
    assert [value for key, value in pairs if key == "model"] == [model]


@pytest.mark.parametrize(
    "body",
    [
        b'{"model": "OLD", "seed": 1.50, "x": 1e5, "t": "\\u00e9 \xc3\xa9"}',
        b'{ "messages" : [ {"role":"user"} ],\t"model"  :\t"OLD" , "n":100000000000000000000}',
        b'{"a":-0.0,"model":"O\\"LD","b":[]}'.replace(b'O\\"LD', b"OLD"),
    ],
)
def test_every_other_byte_stays(body: bytes) -> None:
    """White space, number spellings and escapes included."""
    assert splice_model(body, 'new"') == body.replace(b'"OLD"', b'"new\\""')


def test_numbers_that_no_float_holds_survive_the_slow_way() -> None:
    """Where the members are written anew, their values are not."""
    body = b'{"model":"a","model":"b","big":1e999,"long":0.10000000000000000000001}'
    spliced = splice_model(body, "c")
    assert b'"big":1e999' in spliced
    assert b'"long":0.10000000000000000000001' in spliced
    assert math.isinf(json.loads(spliced)["big"])


def test_a_line_is_taken_apart_as_it_stands() -> None:
    """The id's token keeps its escapes, the body its white space."""
    raw = b'{"body": { "model": "m" } , "custom_id":"a\\u00e9\\/", "url": ""}'
    assert decode_line(raw) == (b'"a\\u00e9\\/"', b'{ "model": "m" }')


@given(st.text(min_size=1))
@example("\u2028\u2029\x85é")
def test_an_id_never_breaks_the_line_of_an_output_file(custom_id: str) -> None:
    """`str.splitlines` leaves the token whole, and it still says the same id."""
    raw = json.dumps({"custom_id": custom_id, "body": {}}, ensure_ascii=False).encode()
    token = decode_line(raw)[0].decode()
    assert json.loads(token) == custom_id
    assert len(token.splitlines()) == 1


CUT = b'{"model": "m", "s": "\\ud83d \\ue000 \\ud83d\\ude00 \\\\ud83d \\uDE00"}'


def test_half_an_emoji_goes_out_as_it_stands() -> None:
    """JSON allows it and JavaScript writes it: every byte but the model's stays, wherever the model stands."""
    assert decode_line(b'{"custom_id": "a", "body": ' + CUT + b"}") == (b'"a"', CUT)
    assert splice_model(CUT, "new") == CUT.replace(b'"m"', b'"new"')
    last = CUT.replace(b'"model": "m", ', b"")[:-1] + b', "model": "m"}'
    assert splice_model(last, "\\ue001") == last.replace(b'"m"', b'"\\\\ue001"')
    twice = json.loads(splice_model(b'{"model":"a",' + CUT[1:], "c"))
    assert twice == {**json.loads(CUT), "model": "c"}


@pytest.mark.parametrize("raw", [b"", b"{}", b"[]", b'{"custom_id":"a"', b'{"custom_id":' + b"[" * 5000])
def test_bytes_that_are_no_line_are_an_input_error(raw: bytes) -> None:
    """The input changed under its index: said so, not crashed on."""
    with pytest.raises(InputError, match="changed"):
        decode_line(raw)
