"""Each thing that can be asked wrongly has its status, code, param and words, and leaves nothing behind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
import requests

from batchrouter.adapters.blobs import MemoryBlobs
from batchrouter.domain.lifecycle import BatchEvent
from batchrouter.service.limits import ServiceLimits
from tests.acceptance.api.batches import Hand
from tests.acceptance.api.rig import USER_KEY, Rig

LINE = b'{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":"m"}}\n'
GOOD = {"input_file_id": "file-x", "endpoint": "/v1/embeddings", "completion_window": "24h"}


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    limits = ServiceLimits(max_upload_bytes=200_000, batch_max_bytes=100_000, upload_part_bytes=1_000)
    with Rig(limits=limits) as running:
        yield running


def error_of(reply: requests.Response) -> dict[str, Any]:
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["x-request-id"].startswith("req_")
    body = reply.json()
    assert set(body) == {"error"}
    error: dict[str, Any] = body["error"]
    assert set(error) == {"message", "type", "param", "code", "status"}
    assert error["status"] == reply.status_code
    if reply.status_code < 500:
        assert error["type"] == "invalid_request_error"
    return error


def bytes_kept(rig: Rig) -> int:
    """What uploads left behind: visible blobs and unfinished writes."""
    assert isinstance(rig.blobs, MemoryBlobs)
    return len(rig.blobs._blobs) + rig.blobs._unfinished_bytes


# --- keys -----------------------------------------------------------------------------------------------------------


def test_no_key(rig: Rig) -> None:
    for headers in ({}, {"Authorization": "Basic abc"}, {"Authorization": "Bearer "}):
        reply = requests.get(f"{rig.url}/v1/files", headers=headers)
        error = error_of(reply)
        assert (reply.status_code, error["code"], error["param"]) == (401, None, None)
        assert error["message"].startswith(
            "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer"
        )


def test_a_wrong_key_is_told_masked(rig: Rig) -> None:
    reply = requests.get(f"{rig.url}/v1/files", headers={"Authorization": "Bearer sk-abcdefghijklmnopSJh4"})
    error = error_of(reply)
    assert (reply.status_code, error["code"]) == (401, "invalid_api_key")
    assert error["message"].startswith("Incorrect API key provided: sk-****************SJh4. ")
    short = requests.get(f"{rig.url}/v1/files", headers={"Authorization": "Bearer secret"})
    assert "secret" not in short.text


def test_the_key_may_come_in_x_api_key(rig: Rig) -> None:
    assert requests.get(f"{rig.url}/v1/models", headers={"x-api-key": USER_KEY}).status_code == 200


# --- uploads --------------------------------------------------------------------------------------------------------

NOT_JSONL = "Invalid file format for Batch API. Must be .jsonl"


@pytest.mark.parametrize(
    ("form", "status", "message", "param", "code"),
    [
        ({"file": b"hello\n"}, 400, NOT_JSONL, None, None),
        ({"file": b""}, 400, NOT_JSONL, None, None),
        ({"file": b"\n \n"}, 400, NOT_JSONL, None, None),
        ({"file": b"[1]\n"}, 400, NOT_JSONL, None, None),
        ({"file": b"\xff\xfe{\x00}\x00"}, 400, NOT_JSONL, None, None),
        ({"file": None}, 400, "Missing required parameter: 'file'.", "file", "missing_required_parameter"),
        (
            {"file": LINE, "purpose": "nonsense"},
            400,
            "Invalid value: 'nonsense'. Supported values are: 'assistants', 'batch', 'fine-tune', 'vision', "
            "'user_data', and 'evals'.",
            "purpose",
            "invalid_value",
        ),
        (
            {"file": LINE, "expires_after[seconds]": "3600"},
            400,
            "Missing required parameter: 'expires_after.anchor'.",
            "expires_after.anchor",
            "missing_required_parameter",
        ),
        (
            {"file": LINE, "expires_after[anchor]": "created_at", "expires_after[seconds]": "60"},
            400,
            "Invalid 'expires_after.seconds': integer below minimum value. Expected a value >= 3600, but got 60 "
            "instead.",
            "expires_after.seconds",
            "integer_below_min_value",
        ),
        (
            {"file": LINE, "expires_after[anchor]": "created_at", "expires_after[seconds]": "2592001"},
            400,
            "Invalid 'expires_after.seconds': integer above maximum value. Expected a value <= 2592000, "
            "but got 2592001 instead.",
            "expires_after.seconds",
            "integer_above_max_value",
        ),
        (
            {"file": b"{}\n" + b"x" * 100_000},
            413,
            "The file is too large. The maximum is 100000 bytes.",
            "file",
            "file_too_large",
        ),
        (
            {"file": b"x" * 200_001, "purpose": "user_data"},
            413,
            "The file is too large. The maximum is 200000 bytes.",
            "file",
            "file_too_large",
        ),
        (
            {"file": b"x" * 3_000_000},
            413,
            "The body is too large. The maximum is 200000 bytes.",
            "file",
            "file_too_large",
        ),
        ({"file": LINE, "purpose": "b" * 5_000}, 400, "The form field 'purpose' is too long.", "purpose", None),
    ],
)
@pytest.mark.parametrize("file_first", [True, False])
def test_a_bad_upload_is_refused_and_leaves_nothing(
    rig: Rig,
    http: requests.Session,
    form: dict[str, Any],
    status: int,
    message: str,
    param: str | None,
    code: str | None,
    file_first: bool,
) -> None:
    before = bytes_kept(rig)
    file = form["file"]
    fields = [(name, (None, value)) for name, value in {"purpose": "batch", **form}.items() if name != "file"]
    files = [] if file is None else [("file", ("a.jsonl", file))]
    reply = http.post(f"{rig.url}/v1/files", files=[*files, *fields] if file_first else [*fields, *files])
    error = error_of(reply)
    assert (reply.status_code, error["message"], error["param"], error["code"]) == (status, message, param, code)
    assert bytes_kept(rig) == before
    assert http.get(f"{rig.url}/v1/files").json()["data"] == []


FILE_PART = b'--B\r\nContent-Disposition: form-data; name="file"\r\n\r\n{}\n\r\n'


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data; boundary=B", FILE_PART),
        ("multipart/form-data; boundary=B", FILE_PART + b"--B\r\n"),
        ("multipart/form-data; boundary=Other", FILE_PART + b"--B--"),
        ("multipart/form-data", FILE_PART + b"--B--\r\n"),
        ("multipart/form-data; boundary=B", b""),
        ("application/json", b"{}"),
        ("application/x-www-form-urlencoded", b"purpose=batch"),
        ("multipart/form-data; boundary=B", FILE_PART + FILE_PART + b"--B--\r\n"),
    ],
)
def test_a_body_that_is_no_whole_form_is_refused_and_leaves_nothing(
    rig: Rig, http: requests.Session, content_type: str, body: bytes
) -> None:
    before = bytes_kept(rig)
    reply = http.post(f"{rig.url}/v1/files", data=body, headers={"Content-Type": content_type})
    error_of(reply)
    assert reply.status_code == 400
    assert bytes_kept(rig) == before


def test_later_bad_lines_are_left_to_the_batch(rig: Rig, http: requests.Session) -> None:
    reply = http.post(f"{rig.url}/v1/files", files={"file": ("a", b"\xef\xbb\xbf{}\r\n\r\nnot json\r\n")})
    assert reply.status_code == 200, reply.text
    assert reply.json()["num_rows"] == 2
    http.delete(f"{rig.url}/v1/files/{reply.json()['id']}")


def test_unknown_fields_nameless_parts_and_any_order_are_taken(rig: Rig, http: requests.Session) -> None:
    body = (
        b'--B\r\nContent-Disposition: form-data; name="target_model_names"\r\n\r\nx\r\n'
        b'--B\r\nContent-Disposition: form-data; filename="deep/../../a.jsonl"\r\n\r\n' + LINE + b"\r\n"
        b'--B\r\nContent-Disposition: form-data; name="custom_llm_provider"; filename="y"\r\n\r\nz\r\n'
        b"--B--\r\n"
    )
    reply = http.post(
        f"{rig.url}/v1/files?provider=x", data=body, headers={"Content-Type": "multipart/form-data; boundary=B"}
    )
    assert reply.status_code == 200, reply.text
    assert (reply.json()["filename"], reply.json()["purpose"], reply.json()["bytes"]) == ("a.jsonl", "batch", len(LINE))
    http.delete(f"{rig.url}/v1/files/{reply.json()['id']}")


def test_a_full_disk_is_told_and_leaves_nothing() -> None:
    with Rig(room_bytes=50_000) as small:
        before = bytes_kept(small)
        reply = requests.post(
            f"{small.url}/v1/files",
            files={"file": ("a", LINE * 1_000)},
            headers={"Authorization": f"Bearer {USER_KEY}"},
        )
        error = error_of(reply)
        assert (reply.status_code, error["code"], error["type"]) == (507, "insufficient_storage", "server_error")
        assert reply.headers["x-should-retry"] == "false"
        assert bytes_kept(small) == before
        with openai.OpenAI(api_key=USER_KEY, base_url=f"{small.url}/v1", max_retries=0) as client:
            assert client.files.create(file=LINE, purpose="batch").bytes == len(LINE)


# --- batches --------------------------------------------------------------------------------------------------------

ENDPOINTS = (
    "'/v1/responses', '/v1/chat/completions', '/v1/embeddings', '/v1/completions', '/v1/moderations', "
    "'/v1/images/generations', and '/v1/images/edits'"
)


@pytest.mark.parametrize(
    ("change", "message", "param", "code"),
    [
        (
            {"input_file_id": ...},
            "Missing required parameter: 'input_file_id'.",
            "input_file_id",
            "missing_required_parameter",
        ),
        ({"endpoint": ...}, "Missing required parameter: 'endpoint'.", "endpoint", "missing_required_parameter"),
        (
            {"input_file_id": 7},
            "Invalid type for 'input_file_id': expected a string, but got an integer instead.",
            "input_file_id",
            "invalid_type",
        ),
        (
            {"endpoint": "/v1/invalid/endpoint"},
            f"Invalid value: '/v1/invalid/endpoint'. Supported values are: {ENDPOINTS}.",
            "endpoint",
            "invalid_value",
        ),
        (
            {"completion_window": "1h"},
            "Invalid value: '1h'. Supported values are: '24h'.",
            "completion_window",
            "invalid_value",
        ),
        (
            {"completion_window": ""},
            "Invalid value: ''. Supported values are: '24h'.",
            "completion_window",
            "invalid_value",
        ),
        (
            {"metadata": {"tags": ["a"]}},
            "Invalid type for 'metadata.tags': expected a string, but got an array instead.",
            "metadata.tags",
            "invalid_type",
        ),
        (
            {"metadata": {"n": 1.5}},
            "Invalid type for 'metadata.n': expected a string, but got a decimal number instead.",
            "metadata.n",
            "invalid_type",
        ),
        (
            {"metadata": {"k": "\x00"}},
            "Invalid 'metadata.k': it contains a null character.",
            "metadata.k",
            "invalid_value",
        ),
        (
            {"output_expires_after": {"anchor": "created_at", "seconds": 2_592_001}},
            "Invalid 'output_expires_after.seconds': integer above maximum value. Expected a value <= 2592000, "
            "but got 2592001 instead.",
            "output_expires_after.seconds",
            "integer_above_max_value",
        ),
        (
            {"output_expires_after": {"anchor": "now", "seconds": 3600}},
            "Invalid value: 'now'. Supported values are: 'created_at'.",
            "output_expires_after.anchor",
            "invalid_value",
        ),
    ],
)
def test_a_batch_that_is_asked_wrongly_is_refused(
    rig: Rig, http: requests.Session, change: dict[str, Any], message: str, param: str, code: str
) -> None:
    body = {key: value for key, value in {**GOOD, **change}.items() if value is not ...}
    reply = http.post(f"{rig.url}/v1/batches", json=body)
    error = error_of(reply)
    assert (reply.status_code, error["message"], error["param"], error["code"]) == (400, message, param, code)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"nope", b'{"a":"\xff"}', b"[" * 100_000, b'{"a":"\\ud800"}', b"null", b"[]"]
)
def test_a_body_that_is_no_json_object_is_refused(rig: Rig, http: requests.Session, body: bytes) -> None:
    reply = http.post(f"{rig.url}/v1/batches", data=body)
    error_of(reply)
    assert reply.status_code == 400


def test_a_huge_json_body_is_refused(rig: Rig, http: requests.Session) -> None:
    reply = http.post(f"{rig.url}/v1/batches", data=b" " * 1_100_000)
    error_of(reply)
    assert reply.status_code == 413


def test_window_and_purpose_may_be_absent_and_unknown_members_are_ignored(rig: Rig, http: requests.Session) -> None:
    body = {"input_file_id": "file-unknown", "endpoint": "/v1/embeddings", "metadata": None, "extra": {"a": 1}}
    reply = http.post(f"{rig.url}/api/v1/batches", json=body)
    assert reply.status_code == 200, reply.text
    assert (reply.json()["completion_window"], reply.json()["batch_id"]) == ("24h", reply.json()["id"])


def test_an_unknown_file_is_left_to_validation(rig: Rig, http: requests.Session) -> None:
    reply = http.post(f"{rig.url}/v1/batches", json=GOOD)
    assert (reply.status_code, reply.json()["status"]) == (200, "validating")


def test_cancel_answers_by_state(rig: Rig, http: requests.Session) -> None:
    def made() -> str:
        id: str = http.post(f"{rig.url}/v1/batches", json=GOOD).json()["id"]
        return id

    def cancel(batch_id: str) -> requests.Response:
        return http.post(f"{rig.url}/v1/batches/{batch_id}/cancel")

    finished = made()
    Hand(rig, finished).complete()
    refused = made()
    Hand(rig, refused).reject()
    for batch_id, state in ((finished, "completed"), (refused, "failed")):
        reply = cancel(batch_id)
        error = error_of(reply)
        assert reply.status_code == 409
        assert error["message"] == f"Cannot cancel a batch with status '{state}'."
        assert (error["param"], error["code"], reply.headers["x-should-retry"]) == (None, None, "false")
    finalizing = made()
    hand = Hand(rig, finalizing)
    hand.plan()
    hand.answer()
    assert hand.ledger.close("worker-1", hand.duty(), BatchEvent.COMPLETE, hand.now)
    assert (cancel(finalizing).status_code, cancel(finalizing).json()["status"]) == (200, "finalizing")
    running = made()
    Hand(rig, running).plan()
    for _ in range(2):
        reply = cancel(running)
        assert (reply.status_code, reply.json()["status"]) == (200, "cancelling")
        assert reply.json()["batchrouter"]["closing"] == "cancel"


# --- ids, lists, paths ----------------------------------------------------------------------------------------------

ODD_IDS = ["x", "file-%00", "..%2f..%2fetc%2fpasswd", "%2e%2e", "ü", "a" * 300, "a b", "%0d%0aX:1", "';drop"]


@pytest.mark.parametrize("odd", ODD_IDS)
def test_unknown_and_odd_ids_are_not_found(rig: Rig, http: requests.Session, odd: str) -> None:
    for method, path in (
        ("GET", f"files/{odd}"),
        ("DELETE", f"files/{odd}"),
        ("GET", f"files/{odd}/content"),
        ("GET", f"batches/{odd}"),
        ("POST", f"batches/{odd}/cancel"),
        ("POST", f"uploads/{odd}/cancel"),
    ):
        reply = http.request(method, f"{rig.url}/v1/{path}")
        error_of(reply)
        assert reply.status_code == 404, (method, path)


def test_the_words_for_unknown_ids(rig: Rig, http: requests.Session) -> None:
    file = error_of(http.get(f"{rig.url}/v1/files/file-abc123"))
    assert (file["message"], file["param"], file["code"]) == ("No such File object: file-abc123", "id", None)
    batch = error_of(http.get(f"{rig.url}/v1/batches/batch_abc"))
    assert (batch["message"], batch["param"], batch["code"]) == ("No batch found with id 'batch_abc'.", None, None)


@pytest.mark.parametrize(
    ("query", "param", "code"),
    [
        ("files?limit=0", "limit", "integer_below_min_value"),
        ("files?limit=10001", "limit", "integer_above_max_value"),
        ("files?limit=abc", "limit", "invalid_type"),
        ("files?order=up", "order", "invalid_value"),
        ("files?after=file-unknown", "after", "invalid_value"),
        ("files?after=%00", "after", "invalid_value"),
        ("batches?limit=101", "limit", "integer_above_max_value"),
        ("batches?limit=-1", "limit", "integer_below_min_value"),
        ("batches?after=batch_unknown", "after", "invalid_value"),
    ],
)
def test_bad_queries(rig: Rig, http: requests.Session, query: str, param: str, code: str) -> None:
    reply = http.get(f"{rig.url}/v1/{query}")
    error = error_of(reply)
    assert (reply.status_code, error["param"], error["code"]) == (400, param, code)


def test_unknown_paths_and_methods_answer_in_the_same_shape(rig: Rig, http: requests.Session) -> None:
    reply = http.get(f"{rig.url}/v1/nothing")
    assert (reply.status_code, error_of(reply)["message"]) == (404, "Invalid URL (GET /v1/nothing)")
    reply = http.put(f"{rig.url}/v1/files", data=b"x")
    assert (reply.status_code, reply.headers["allow"]) == (405, "GET, HEAD, POST")
    assert error_of(reply)["code"] == "method_not_supported"
    assert http.post(f"{rig.url}/v1/batches/", json=GOOD).status_code == 404


def test_an_empty_list(rig: Rig) -> None:
    headers = {"Authorization": f"Bearer {rig.key('empty')}"}
    for path in ("files", "batches"):
        reply = requests.get(f"{rig.url}/v1/{path}", headers=headers)
        assert reply.text == '{"object":"list","data":[],"first_id":null,"last_id":null,"has_more":false}'


def test_json_is_compact(rig: Rig, http: requests.Session) -> None:
    """A published Java client searches the text for this."""
    made = http.post(f"{rig.url}/v1/batches", json=GOOD)
    assert '"status":"validating"' in made.text
    assert '"errors":null' in made.text


# --- uploads in parts -----------------------------------------------------------------------------------------------


def upload(rig: Rig, http: requests.Session, size: int, purpose: str = "batch") -> str:
    body = {"filename": "a.jsonl", "purpose": purpose, "bytes": size, "mime_type": "text/jsonl"}
    id: str = http.post(f"{rig.url}/v1/uploads", json=body).json()["id"]
    return id


def send_part(rig: Rig, http: requests.Session, upload_id: str, data: bytes) -> requests.Response:
    return http.post(f"{rig.url}/v1/uploads/{upload_id}/parts", files={"data": ("x", data)})


@pytest.mark.parametrize(
    ("size", "sent", "complete", "words"),
    [
        (6, [b"{}\n{}"], {}, "Missing required parameter: 'part_ids'."),
        (6, [b"{}\n{}"], {"part_ids": [0]}, "The parts have 5 bytes together, but the upload was created with 6"),
        (5, [b"{}\n{}"], {"part_ids": []}, "'part_ids' must name 1 to"),
        (5, [b"{}\n{}"], {"part_ids": ["part_x"]}, "No part with id 'part_x' belongs to this upload."),
        (10, [b"{}\n{}"], {"part_ids": [0, 0]}, "'part_ids' names a part twice."),
        (5, [b"{}\n{}"], {"part_ids": [0], "md5": "0" * 32}, "which is not the md5 sent."),
        (5, [b"hello"], {"part_ids": [0]}, NOT_JSONL),
        (5, [b"{}\n{}"], {"part_ids": [None]}, "Invalid type for 'part_ids[0]': expected a string, but got null"),
    ],
)
def test_a_bad_completion_is_refused_and_the_upload_stays_pending(
    rig: Rig, http: requests.Session, size: int, sent: list[bytes], complete: dict[str, Any], words: str
) -> None:
    upload_id = upload(rig, http, size)
    ids = [send_part(rig, http, upload_id, data).json()["id"] for data in sent]
    before = bytes_kept(rig)
    body = json.loads(json.dumps(complete))
    if "part_ids" in body:
        body["part_ids"] = [ids[item] if isinstance(item, int) else item for item in body["part_ids"]]
    reply = http.post(f"{rig.url}/v1/uploads/{upload_id}/complete", json=body)
    error = error_of(reply)
    assert reply.status_code == 400
    assert words in error["message"]
    assert bytes_kept(rig) == before
    assert http.post(f"{rig.url}/v1/uploads/{upload_id}/cancel").json()["status"] == "cancelled"


def test_an_upload_that_ended_takes_nothing_more(rig: Rig, http: requests.Session) -> None:
    upload_id = upload(rig, http, 3)
    part = send_part(rig, http, upload_id, b"{}\n").json()["id"]
    done = http.post(f"{rig.url}/v1/uploads/{upload_id}/complete", json={"part_ids": [part]})
    assert done.json()["status"] == "completed"
    for reply in (
        send_part(rig, http, upload_id, b"x"),
        http.post(f"{rig.url}/v1/uploads/{upload_id}/complete", json={"part_ids": [part]}),
        http.post(f"{rig.url}/v1/uploads/{upload_id}/cancel"),
    ):
        assert (
            error_of(reply)["message"] == f"The upload {upload_id} is completed; only a pending upload can be changed."
        )
        assert reply.status_code == 400
    # A client that did not hear the answer asks again, and says so.
    again = http.post(
        f"{rig.url}/v1/uploads/{upload_id}/complete",
        json={"part_ids": [part]},
        headers={"x-stainless-retry-count": "1"},
    )
    assert (again.status_code, again.json()) == (200, done.json())


def test_uploads_have_bounds(rig: Rig, http: requests.Session) -> None:
    body = {"filename": "a.jsonl", "purpose": "batch", "bytes": 100_001, "mime_type": "text/jsonl"}
    assert error_of(http.post(f"{rig.url}/v1/uploads", json=body))["status"] == 413
    upload_id = upload(rig, http, 2_000)
    assert error_of(send_part(rig, http, upload_id, b"x" * 1_001))["status"] == 413
    assert error_of(http.post(f"{rig.url}/v1/uploads", json={}))["param"] == "filename"
    assert error_of(http.post(f"{rig.url}/v1/uploads/{upload_id}/parts", files={"other": b"x"}))["param"] == "data"


# --- repeats --------------------------------------------------------------------------------------------------------


def test_a_repeated_create_makes_one_batch(rig: Rig, http: requests.Session) -> None:
    def create(body: dict[str, Any], **headers: str) -> requests.Response:
        return http.post(f"{rig.url}/v1/batches", json=body, headers=headers)

    first = create({**GOOD, "metadata": {"n": "1"}}, **{"Idempotency-Key": "k-1"})
    assert create({**GOOD, "metadata": {"n": "1"}}, **{"Idempotency-Key": "k-1"}).json()["id"] == first.json()["id"]
    conflict = create({**GOOD, "metadata": {"n": "2"}}, **{"Idempotency-Key": "k-1"})
    error_of(conflict)
    assert (conflict.status_code, conflict.headers["x-should-retry"]) == (409, "false")
    plain = create({**GOOD, "metadata": {"n": "3"}}, **{"x-stainless-retry-count": "0"})
    resent = create({**GOOD, "metadata": {"n": "3"}}, **{"x-stainless-retry-count": "1"})
    assert resent.json()["id"] == plain.json()["id"]
    assert create({**GOOD, "metadata": {"n": "3"}}).json()["id"] != plain.json()["id"]
    assert create(GOOD, **{"Idempotency-Key": "k" * 256}).status_code == 400


# --- time and faults ------------------------------------------------------------------------------------------------


def test_what_is_past_its_time_is_gone() -> None:
    limits = ServiceLimits(upload_lifetime_s=0, batch_file_lifetime_s=0)
    with Rig(limits=limits) as brief, requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {USER_KEY}"
        file_id = session.post(f"{brief.url}/v1/files", files={"file": ("a", LINE)}).json()["id"]
        assert session.get(f"{brief.url}/v1/files/{file_id}/content").status_code == 404
        upload_id = upload(brief, session, 3)
        error = error_of(send_part(brief, session, upload_id, b"{}\n"))
        assert error["message"] == f"The upload {upload_id} is expired; only a pending upload can be changed."


def test_a_fault_of_the_server_is_told_without_its_words(
    rig: Rig, http: requests.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("a prompt or a path")

    monkeypatch.setattr(rig.service.batches, "get", broken)
    reply = http.get(f"{rig.url}/v1/batches/batch_x")
    error = error_of(reply)
    assert (reply.status_code, error["type"]) == (500, "server_error")
    assert "prompt" not in reply.text
