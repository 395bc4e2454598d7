"""A line's request stands in JSON and in event streams as it is, but for what would break a line."""

from __future__ import annotations

import json

from batchrouter.api.replies import encode
from batchrouter.api.result_objects import line_object, one_line
from batchrouter.service.line_scan import Cursor
from batchrouter.service.results import Line


def test_a_carriage_return_between_tokens_is_a_blank() -> None:
    assert one_line(b' {"a":1,\r"b":"c\\r"}\r') == b'{"a":1, "b":"c\\r"}'


def test_what_is_no_unicode_is_told_as_it_stands() -> None:
    """A `custom_id` with half a character in it, which no encoder would take."""
    request = b'{"custom_id":"\\ud83d","body":{}}'
    line = Line(
        line=3, record=None, lane=None, custom_id=b'"\\ud83d"', error_code=None, result=None, request=request,
        cursor=Cursor("input", 4),
    )  # fmt: skip
    told = encode(line_object(line, requests=True))
    assert b'"custom_id":"\\ud83d"' in told
    assert request in told
    assert json.loads(told)["outcome"] == "unfinished"
    assert "request" not in json.loads(encode(line_object(line, requests=False)))
