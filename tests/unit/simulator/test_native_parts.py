"""What simulated batches are made of: multipart bodies, input lines, result lines, files, and the words of refusals."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrouter.simulator.jobs import Phase
from batchrouter.simulator.native.dialects import DIALECTS, window_hours
from batchrouter.simulator.native.form import parts_of
from batchrouter.simulator.native.lines import InputJudge, first_model, is_jsonl, stretches
from batchrouter.simulator.native.paper import answered_line, unrun_line, used_by
from batchrouter.simulator.native.refusal import Refused
from batchrouter.simulator.native.run import with_model
from batchrouter.simulator.native.shelf import FILES_MAX, Shelf, StoredFile
from batchrouter.simulator.spool import Part, Spool

CHAT = "/v1/chat/completions"


def part(content: bytes) -> Part:
    return Part(Spool(content))


# --- multipart ------------------------------------------------------------------------------------------------------

CUT = st.binary(max_size=40).map(lambda content: content.replace(b"--cut", b""))


@given(contents=st.lists(CUT, max_size=5))
def test_every_part_of_a_form_is_found_as_it_was_sent(contents: list[bytes]) -> None:
    body = b"".join(
        b'--cut\r\nContent-Disposition: form-data; name="p%d"; filename="f \\"%d\\".txt"\r\n\r\n%b\r\n' % (no, no, one)
        for no, one in enumerate(contents)
    )
    parts = parts_of(part(body + b"--cut--\r\n"), 'multipart/form-data; boundary="cut"')
    assert [(one.name, one.filename, one.content.read()) for one in parts] == [
        (f"p{no}", f'f "{no}".txt', one) for no, one in enumerate(contents)
    ]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nothing of the kind",
        b"--cut\r\n\r\nno end",
        b"--cut\r\ncontent-disposition: form-data\r\n--cut--",
        b"--cutter\r\n\r\n\r\n--cut--",
        b"--cut\r\n\r\n\r\n" * 200 + b"--cut--",
    ],
)
def test_a_body_that_is_no_form_is_refused(body: bytes) -> None:
    with pytest.raises(Refused):
        parts_of(part(body), "multipart/form-data; boundary=cut")
    with pytest.raises(Refused):
        parts_of(part(b"--\r\n\r\n\r\n----"), "multipart/form-data")


# --- input ----------------------------------------------------------------------------------------------------------


def judged(content: bytes, dialect: str = "openai", model: str = "") -> InputJudge:
    judge = InputJudge(DIALECTS[dialect], CHAT, model, lambda name: name != "unknown")
    for start, raw in stretches(part(content)):
        judge.take(start, raw)
    judge.close(1000)
    return judge


def request(name: str, text: str = "hi", **members: Any) -> dict[str, Any]:
    body = {"model": "m", "messages": [{"role": "user", "content": text}], **members}
    return {"custom_id": name, "method": "POST", "url": CHAT, "body": body}


@given(lines=st.lists(st.binary(max_size=30).map(lambda raw: raw.replace(b"\n", b"").replace(b"\r", b""))))
def test_stretches_are_the_lines_and_where_they_begin(lines: list[bytes]) -> None:
    content = b"\n".join(lines)
    found = list(stretches(part(content)))
    assert [raw for _, raw in found] == (lines if not lines or lines[-1] else lines[:-1])
    assert all(content[start : start + len(raw)] == raw for start, raw in found)


@given(texts=st.lists(st.text(max_size=20), min_size=1, max_size=30), blank=st.sampled_from(["\n", "\r\n", "\n\n \n"]))
def test_a_body_is_given_back_byte_for_byte(texts: list[str], blank: str) -> None:
    """Whatever stands between the lines; each by its own index."""
    requests = [request(f"r{no}", text) for no, text in enumerate(texts)]
    bodies = [json.dumps(one["body"], indent=None, ensure_ascii=False).encode() for one in requests]
    heads = [b'{"custom_id":"r%d" , "method":"POST","url":"%b","body": %b }' % (no, CHAT.encode(), body)
             for no, body in enumerate(bodies)]  # fmt: skip
    content = blank.encode().join(heads)
    judge = judged(content)
    assert (judge.errors, len(judge), judge.model) == ([], len(texts), "m")
    found = [judge.line(part(content), index) for index in range(len(judge))]
    assert [(one.custom_id, one.body) for one in found] == [(f"r{no}", body) for no, body in enumerate(bodies)]
    assert judge.tokens == sum(-(-len(body) // 4) for body in bodies)


def test_an_input_without_lines_or_with_too_many_is_rejected_as_a_whole() -> None:
    assert [error.code for error in judged(b"\n \n").errors] == ["empty_file"]
    judge = judged(b"\n".join(json.dumps(request(f"r{no}")).encode() for no in range(1001)))
    assert [(error.code, error.line) for error in judge.errors] == [("too_many_requests", None)]


def test_a_model_that_is_not_there_is_noticed_before_anything_runs() -> None:
    judge = judged(json.dumps(request("a", model="unknown")).encode())
    assert [(error.code, error.param) for error in judge.errors] == [("model_not_found", "body.model")]


def test_lines_of_mistral_need_neither_model_nor_id() -> None:
    content = b'{"body":{"messages":[]}}\n{"custom_id":null,"body":{"messages":[]}}\n{"body":[]}\n'
    judge = judged(content, "mistral", "mistral-small")
    assert [(error.line, error.code) for error in judge.errors] == [(2, "invalid_type"), (3, "invalid_request")]
    assert judge.model == "mistral-small"


def test_the_first_model_is_told_at_a_glance() -> None:
    content = json.dumps(request("a")).encode()
    assert [first_model(one) for one in (part(content + b"\nrubbish"), part(b"rubbish"), part(b""), None)] == [
        "m",
        "",
        "",
        "",
    ]


@pytest.mark.parametrize(
    ("content", "is_one"),
    [(b"", False), (b"\n\n", False), (b"words", False), (b"[]", False), (b"\n{}", True), (b'{"a":1}\nwords', True),
     (b'{"a":"' + b"x" * 500_000 + b'"}', True), (b"x" * 500_000, False)],
)  # fmt: skip
def test_what_looks_like_jsonl(content: bytes, is_one: bool) -> None:
    """Judged by the first line, so that a later bad one is the batch's matter."""
    assert is_jsonl(part(content)) is is_one


@pytest.mark.parametrize(
    ("window", "hours"), [("24h", 24), ("7d", 168), ("0h", None), ("24", None), ("", None), (7, None), ("1w", None)]
)
def test_windows(window: object, hours: int | None) -> None:
    assert window_hours(window) == hours


def test_the_model_of_the_job_stands_in_where_a_body_names_none() -> None:
    bodies = [b'{"a":1}', b" { }", b'{"model":"own"}']
    assert [json.loads(with_model(body, "m")) for body in bodies] == [
        {"model": "m", "a": 1},
        {"model": "m"},
        {"model": "own"},
    ]
    assert with_model(b'{"a":1}', "") == b'{"a":1}'
    assert json.loads(with_model(b"{}", 'a"b\\c'))["model"] == 'a"b\\c'


# --- results --------------------------------------------------------------------------------------------------------


@given(body=st.binary(max_size=50) | st.text(max_size=50).map(lambda text: json.dumps({"a": text}, indent=1).encode()))
def test_a_result_is_one_line_of_json_whatever_the_reply_was(body: bytes) -> None:
    record = answered_line("job", 3, "an id\n", 200, body)
    assert record.count(b"\n") == 1
    value = json.loads(record)
    assert (value["custom_id"], value["response"]["status_code"], value["error"]) == ("an id\n", 200, None)
    told = value["response"]["body"]
    try:
        msgspec.json.decode(body)
    except ValueError:
        assert told == (body.decode("utf-8", "replace") or None)
    else:
        assert told == json.loads(body)


def test_a_line_that_never_ran_says_which_end_came_first() -> None:
    codes = [json.loads(unrun_line("j", 0, "a", end))["error"]["code"] for end in (Phase.EXPIRED, Phase.CANCELLED)]
    assert codes == ["batch_expired", "batch_cancelled"]
    ids = {json.loads(answered_line(job, index, "a", 200, b"{}"))["id"] for job in "ij" for index in range(3)}
    assert len(ids) == 6


def test_usage_is_read_in_both_forms() -> None:
    chat = b'{"usage":{"prompt_tokens":5,"completion_tokens":7,"prompt_tokens_details":{"cached_tokens":2}}}'
    response = b'{"usage":{"input_tokens":5,"output_tokens":7,"output_tokens_details":{"reasoning_tokens":3}}}'
    assert [(used.input, used.cached, used.output, used.reasoning) for used in map(used_by, (chat, response))] == [
        (5, 2, 7, 0),
        (5, 0, 7, 3),
    ]
    assert used_by(b"no json").input == used_by(b"{}").input == 0


# --- files ----------------------------------------------------------------------------------------------------------


def test_a_file_is_gone_when_its_time_is_over() -> None:
    shelf = Shelf()
    shelf.add(StoredFile("a", "a", "batch", 0.0, part(b"x"), expires_unix=10.0))
    shelf.add(StoredFile("b", "b", "batch", 1.0, part(b"x")))
    shelf.add(StoredFile("c", "c", "batch", 2.0))
    assert [file.id for file in shelf.newest_first(9.9)] == ["b", "a"]
    assert shelf.get("a", 9.9) is not None
    assert shelf.get("a", 10.0) is None
    assert [file.id for file in shelf.newest_first(10.0)] == ["b"]


def test_the_shelf_is_bounded() -> None:
    shelf = Shelf()
    for number in range(FILES_MAX + 5):
        shelf.add(StoredFile(str(number), "", "batch", 0.0))
    assert shelf.get("4", 0.0) is None
    assert shelf.get("5", 0.0) is not None
