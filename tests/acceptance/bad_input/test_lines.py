"""Files that look right at upload and are not: the batch fails with every bad line, and nothing of it is sent or kept.

Codes, params and words are OpenAI's where they were recorded, and the documented ones of our own elsewhere.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit

import openai
import pytest
from openai.types import Batch

from batchrouter.simulator.process import SimulatorProcess
from tests.acceptance.bad_input.conftest import EMBEDDING_INPUTS
from tests.acceptance.bad_input.stored import bytes_kept, more_rows, rows
from tests.lines import CHAT, chats, check_output, counts, finished, output_of, upload
from tests.serving import ServerProcess

EMBEDDINGS = "/v1/embeddings"
MESSAGES = [{"role": "user", "content": "hi"}]
BODY: dict[str, Any] = {"model": "test-model", "messages": MESSAGES}
NOT_JSON = ("invalid_json_line", None, "This line is not parseable as valid JSON.")
TOO_DEEP = ("invalid_json_line", None, "This line is nested more than 500 levels deep and cannot be read.")
DUPLICATE = (
    "duplicate_custom_id",
    "custom_id",
    "The custom_id for this request is a duplicate of another request. The custom_id parameter must be unique for "
    "each request in a batch.",
)
URL_MISMATCH = ("invalid_url", "url", "The URL provided for this request does not match the batch endpoint.")
Told = tuple[int | None, str | None, str | None, str | None]
"""Line, code, param, message."""


def line(name: str, **changes: Any) -> bytes:
    """A sound line, with these members changed; `...` leaves one out."""
    members = {"custom_id": name, "method": "POST", "url": CHAT, "body": BODY, **changes}
    return json.dumps({key: value for key, value in members.items() if value is not ...}).encode()


def told(batch: Batch) -> list[Told]:
    assert batch.errors is not None
    assert batch.errors.object == "list"
    assert batch.errors.data is not None
    return [(each.line, each.code, each.param, each.message) for each in batch.errors.data]


def check_failed(batch: Batch) -> None:
    """The shape of a batch that failed its validation: one end, no files, no counts."""
    assert batch.status == "failed"
    assert batch.failed_at is not None
    assert batch.created_at <= batch.failed_at <= batch.created_at + 60
    for other in ("in_progress_at", "finalizing_at", "completed_at", "expired_at", "cancelling_at", "cancelled_at"):
        assert getattr(batch, other) is None, other
    assert (batch.output_file_id, batch.error_file_id) == (None, None)
    assert counts(batch) == (0, 0, 0)


def refused(
    server: ServerProcess, simulator: SimulatorProcess, client: openai.OpenAI, content: bytes, endpoint: Any = CHAT
) -> list[Told]:
    """What the batch over `content` fails with. Of it only the upload and the batch itself stay; nothing is sent."""
    kept, before, sent = bytes_kept(server), rows(server), simulator.stats()["requests"]
    file = client.files.create(file=content, purpose="batch")
    batch = client.batches.create(input_file_id=file.id, endpoint=endpoint, completion_window="24h")
    batch = finished(client, batch.id)
    check_failed(batch)
    new = {name for name in bytes_kept(server) - kept if batch.id in name or not name.startswith("blobs/runs/")}
    assert new == {f"blobs/files/{file.id}", f"blobs/files/{file.id}.idx"}  # but for folding of earlier batches
    more = more_rows(server, before)
    assert more.pop("events") >= 1
    assert more == {"files": 1, "batches": 1, "idempotency": 1}
    assert [each.id for each in client.files.list()] == [file.id]
    assert simulator.stats()["requests"] == sent
    return told(batch)


ONE_BAD_LINE: dict[str, tuple[bytes, tuple[str, str | None, str]]] = {
    "no JSON": (b"nonsense", NOT_JSON),
    "cut short": (line("x")[:-1], NOT_JSON),
    "two values": (line("x") + b" " + line("y"), NOT_JSON),
    "NaN": (line("x", body={**BODY, "temperature": float("nan")}), NOT_JSON),
    "a raw control character": (b'{"custom_id":"x\x01"}', NOT_JSON),
    "invalid UTF-8 inside the body": (line("x", body={**BODY, "user": "@"}).replace(b"@", b"\xff\xfe"), NOT_JSON),
    "half a surrogate pair as id": (line("@").replace(b"@", b"\\ud83d"), NOT_JSON),
    "UTF-16": (line("x").decode().encode("utf-16-le"), NOT_JSON),
    "a second byte order mark": (b"\xef\xbb\xbf" + line("x"), NOT_JSON),
    "an array": (b"[1,2]", ("invalid_type", None, "This line is valid JSON, but it is not an object.")),
    "null": (b"null", ("invalid_type", None, "This line is valid JSON, but it is not an object.")),
    "nested 100,000 deep": (line("x", body="@").replace(b'"@"', b"[" * 100_000 + b"]" * 100_000), TOO_DEEP),
    "nested 100,000 deep without an end": (b'{"a":' * 100_000, TOO_DEEP),
    "no custom_id": (
        line("x", custom_id=...),
        ("missing_required_parameter", "custom_id", "Missing required parameter: 'custom_id'."),
    ),
    "custom_id null": (
        line("x", custom_id=None),
        ("invalid_type", "custom_id", "Invalid type for 'custom_id': expected a string, but got null instead."),
    ),
    "custom_id a number": (
        line("x", custom_id=7),
        ("invalid_type", "custom_id", "Invalid type for 'custom_id': expected a string, but got an integer instead."),
    ),
    "custom_id empty": (
        line(""),
        ("invalid_custom_id", "custom_id", "Invalid 'custom_id': expected a string that is not empty."),
    ),
    "custom_id too long": (
        line("x" * 4097),
        (
            "string_above_max_length",
            "custom_id",
            "Invalid 'custom_id': string too long. Expected a string of at most 4096 bytes.",
        ),
    ),
    "the id of the first line": (line("good"), DUPLICATE),
    "the id of the first line, spelt otherwise": (line("@").replace(b"@", b"\\u0067ood"), DUPLICATE),
    "no method": (
        line("x", method=...),
        ("missing_required_parameter", "method", "Missing required parameter: 'method'."),
    ),
    "wrong method": (
        line("x", method="GET"),
        ("invalid_method", "method", "Invalid value for 'method'. Supported values are: 'POST'."),
    ),
    "no url": (line("x", url=...), ("missing_required_parameter", "url", "Missing required parameter: 'url'.")),
    "another endpoint's url": (line("x", url=EMBEDDINGS), URL_MISMATCH),
    "a whole url": (line("x", url=f"http://169.254.169.254{CHAT}"), URL_MISMATCH),
    "a url with dots": (line("x", url=f"/v1/../..{CHAT}"), URL_MISMATCH),
    "a url that ends the head": (line("x", url=f"{CHAT} HTTP/1.1\r\nx: y\r\n\r\n"), URL_MISMATCH),
    "no body": (line("x", body=...), ("missing_required_parameter", "body", "Missing required parameter: 'body'.")),
    "body a string": (
        line("x", body="{}"),
        ("invalid_type", "body", "Invalid type for 'body': expected an object, but got a string instead."),
    ),
    "body an array": (
        line("x", body=[BODY]),
        ("invalid_type", "body", "Invalid type for 'body': expected an object, but got an array instead."),
    ),
    "stream": (
        line("x", body={**BODY, "stream": True}),
        (
            "streaming_unsupported",
            "body.stream",
            "Chat Completions: Streaming is not supported in the Batch API.",
        ),
    ),
    "stream not a boolean": (
        line("x", body={**BODY, "stream": "yes"}),
        (
            "invalid_type",
            "body.stream",
            "Invalid type for 'body.stream': expected a boolean, but got a string instead.",
        ),
    ),
    "no model": (
        line("x", body={"messages": MESSAGES}),
        ("invalid_request", "body.model", "Model parameter is required."),
    ),
    "no messages": (
        line("x", body={"model": "test-model"}),
        ("invalid_request", "body.messages", "Messages parameter is required."),
    ),
    "unknown model": (
        line("x", body={**BODY, "model": "gpt-9"}),
        ("model_not_found", "body.model", "The provided model 'gpt-9' is not supported by the Batch API."),
    ),
    "unknown provider": (
        line("x", provider="nobody"),
        ("provider_not_found", "provider", "The provider 'nobody' of this request is not configured."),
    ),
    "provider and prefix that contradict": (
        line("x", provider="sim", body={**BODY, "model": "other/other-model"}),
        (
            "provider_model_mismatch",
            "body.model",
            "The provider 'sim' of this request and the prefix of its model 'other/other-model' name two different "
            "providers.",
        ),
    ),
}


def test_every_kind_of_bad_line_is_told_in_order_with_line_code_param_and_words(
    server: ServerProcess, simulator: SimulatorProcess, client: openai.OpenAI
) -> None:
    """All of them in one file, each between two sound lines: nothing hides another, and sound lines are not told."""
    lines, expected = [line("good")], list[Told]()
    for number, (bad, (code, param, message)) in enumerate(ONE_BAD_LINE.values()):
        expected.append((len(lines) + 1, code, param, message))
        lines += [bad.replace(b'"x"', b'"x%d"' % number, 1), line(f"good-{number}")]
    assert refused(server, simulator, client, b"\n".join(lines)) == expected


@pytest.mark.parametrize("kind", ["invalid UTF-8 inside the body", "stream", "unknown model", "nested 100,000 deep"])
def test_one_bad_line_fails_the_batch(
    server: ServerProcess, simulator: SimulatorProcess, client: openai.OpenAI, kind: str
) -> None:
    """As the first line, it makes the file no less JSONL if it is an object."""
    bad, (code, param, message) = ONE_BAD_LINE[kind]
    content = b"\n".join([line("good"), bad, line("also good"), b""])
    assert refused(server, simulator, client, content) == [(2, code, param, message)]


def test_marks_carriage_returns_and_blank_lines_are_accepted(client: openai.OpenAI) -> None:
    """As Windows' editors write files: every line runs."""
    asked = chats(40, "windows")
    content = b"\xef\xbb\xbf\r\n" + b"\r\n \t\r\n\n".join(each.line.rstrip(b"\n") for each in asked) + b"\r\n\r\n"
    batch = finished(client, upload(client, content).id)
    assert (batch.status, counts(batch)) == ("completed", (40, 40, 0))
    check_output(asked, output_of(client, batch))


def test_blank_lines_count_in_line_numbers(
    server: ServerProcess, simulator: SimulatorProcess, client: openai.OpenAI
) -> None:
    """Numbers are those that an editor shows."""
    content = b"\xef\xbb\xbf\r\n" + line("a") + b"\r\n\r\n\t\r\nbad\r\n\n\n" + line("a") + b"\r\n"
    assert refused(server, simulator, client, content) == [(5, *NOT_JSON), (8, *DUPLICATE)]


def test_the_first_1000_bad_lines_are_told_and_how_many_more(
    server: ServerProcess, simulator: SimulatorProcess, client: openai.OpenAI
) -> None:
    """Whatever their kind; the last entry has no line."""
    bad = [line(f"x{i}", method="GET") if i % 2 else b"{" for i in range(1_500)]
    found = refused(server, simulator, client, b"\n".join([line("good"), *bad]))
    assert [each[0] for each in found[:-1]] == list(range(2, 1_002))
    assert [each[1] for each in found[:4]] == ["invalid_json_line", "invalid_method"] * 2
    more = "500 more lines have errors; `batchrouter check` on the file lists all of them."
    assert found[-1] == (None, "more_errors", None, more)


def test_50001_lines(server: ServerProcess, simulator: SimulatorProcess, client: openai.OpenAI) -> None:
    """One more than a batch may have; the file as such is fine."""
    text = line("@").decode()
    content = "\n".join([text.replace("@", str(i)) for i in range(50_001)]).encode()
    words = "The input file has 50001 requests. A batch may have at most 50000; split the file."
    assert refused(server, simulator, client, content) == [(None, "too_many_requests", None, words)]


def test_too_many_embedding_inputs(server: ServerProcess, simulator: SimulatorProcess, client: openai.OpenAI) -> None:
    """Each element of a list counts, over all lines; a list of tokens is one input."""
    tokens = line("tokens", url=EMBEDDINGS, body={"model": "test-embed", "input": [1, 2, 3]})
    texts = [
        line(f"texts-{i}", url=EMBEDDINGS, body={"model": "test-embed", "input": ["x"] * (EMBEDDING_INPUTS // 2)})
        for i in range(2)
    ]
    words = f"The requests have {EMBEDDING_INPUTS + 1} embedding inputs. A batch may have at most {EMBEDDING_INPUTS}; "
    expected = [(None, "too_many_embedding_inputs", None, words + "split the file.")]
    assert refused(server, simulator, client, b"\n".join([tokens, *texts]), EMBEDDINGS) == expected


def test_too_many_models(server: ServerProcess, simulator: SimulatorProcess, client: openai.OpenAI) -> None:
    """65 lanes; told once, as a fault of the file, before the faults of lines."""
    lines = [line(str(i), body={**BODY, "model": f"test-{i}"}) for i in range(65)]
    words = "The requests name more than 64 different models. A batch may have at most 64; split the file."
    found = refused(server, simulator, client, b"\n".join([*lines, b"{"]))
    assert found == [(None, "too_many_models", None, words), (66, *NOT_JSON)]


def test_a_line_of_100_mb(server: ServerProcess, simulator: SimulatorProcess, client: openai.OpenAI, key: str) -> None:
    """It is dropped while it streams past, and what stands before and after it is judged as ever."""
    size, piece = 100_000_000, b"x" * 1_000_000

    def content() -> Iterator[bytes]:
        yield line("good") + b"\n"
        yield from (piece for _ in range(size // len(piece)))
        yield b"\n" + line("good") + b"\n"

    total = 2 * (len(line("good")) + 1) + size + 1
    file_id = upload_stream(server, key, content(), total)
    batch = client.batches.create(input_file_id=file_id, endpoint=CHAT, completion_window="24h")
    batch = finished(client, batch.id)
    check_failed(batch)
    words = f"This line is {size} bytes long, which is more than a line may have."
    assert told(batch) == [(2, "line_too_long", None, words), (3, *DUPLICATE)]
    client.files.delete(file_id)


def upload_stream(server: ServerProcess, key: str, content: Iterable[bytes], length: int) -> str:
    """Upload what is made while it is sent. Returns the file's id."""
    head = (
        b'--B\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
        b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n'
    )
    tail = b"\r\n--B--\r\n"

    def body() -> Iterator[bytes]:
        yield head
        yield from content
        yield tail

    headers = {
        "Authorization": f"Bearer {key}",
        "Content-Type": "multipart/form-data; boundary=B",
        "Content-Length": str(len(head) + length + len(tail)),
    }
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
    try:
        connection.request("POST", "/v1/files", body(), headers)
        reply = connection.getresponse()
        text = reply.read()
    finally:
        connection.close()
    assert reply.status == 200, text
    file_id: str = json.loads(text)["id"]
    return file_id
