"""Words are found in the texts of requests and answers, however their JSON was written; names of members are none."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrouter.domain.needle import Needle

words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6)


@given(words, words, words, st.booleans())
def test_words_are_found_however_they_are_escaped(before: str, wanted: str, after: str, ascii_only: bool) -> None:
    line = json.dumps({"body": {"deep": [1, {"x": before + wanted + after}]}}, ensure_ascii=ascii_only).encode()
    assert Needle(wanted).is_in(line, "body")
    assert not Needle(wanted).is_in(line, "other")


plain = st.text(st.sampled_from('aAbB \n"\\/éÉñ'), min_size=1, max_size=6)


@given(plain, plain)
def test_what_is_not_there_is_not_found(text: str, wanted: str) -> None:
    line = json.dumps({"body": {"x": text}}).encode()
    assert Needle(wanted).is_in(line, "body") == (wanted.lower() in text.lower())


@pytest.mark.parametrize(
    ("wanted", "line", "found"),
    [
        ("GRÜSSE", b'{"body":{"a":"Viele Gr\\u00fcsse"}}', True),
        ("GRÜSSE", '{"body":{"a":"Viele grüsse"}}'.encode(), True),
        ("a/b", b'{"body":"x a\\/b"}', True),
        ("<b>", b'{"body":"\\u003cB\\u003e"}', True),
        ('say "hi"', b'{"body":"he did say \\"Hi\\""}', True),
        ("two\nlines", b'{"body":"two\\nLines"}', True),
        ("\U0001f600", b'{"body":"\\ud83d\\ude00"}', True),
        ("half", b'{"body":"\\ud83d half"}', True),
        ("content", b'{"body":{"content":"x"}}', False),
        ("body", b'{"body":"x"}', False),
        ("5", b'{"body":5}', False),
        ("x", b'["x"]', False),
        ("x", b"x, but no JSON", False),
        ("x", b"", False),
    ],
)
def test_what_is_a_text_and_what_is_not(wanted: str, line: bytes, found: bool) -> None:
    assert Needle(wanted).is_in(line, "body") is found
