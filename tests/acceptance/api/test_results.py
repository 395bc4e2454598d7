"""Finished lines over HTTP: pages, bare lines and events; waiting; what the official client sees of it."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import openai
import pytest
import requests

from batchrouter.api import replies, streams
from batchrouter.domain.lifecycle import BatchEvent
from batchrouter.service import watching
from tests.acceptance.api.batches import Hand, expected, line, succeeded
from tests.acceptance.api.rig import Rig

ASKED = [
    {
        "custom_id": f"r-{number}",
        "method": "POST",
        "url": "/v1/embeddings",
        "body": {"model": "m", "input": f"in {number}"},
    }
    for number in range(10)
]
ORDER = [9, 7, 5, 3, 1, 8, 6, 4, 2, 0]
"""In which `Hand` settles them."""


class Reader:
    """One who reads a batch of `Hand`'s."""

    def __init__(self, rig: Rig, client: openai.OpenAI, lines: int = 10) -> None:
        self.rig, self.client = rig, client
        content = "\n".join(map(json.dumps, ASKED[:lines])).encode()
        file = client.files.create(file=("in.jsonl", content), purpose="batch")
        batch = client.batches.create(input_file_id=file.id, endpoint="/v1/embeddings", completion_window="24h")
        self.id, self.input = batch.id, file.id
        self.hand = Hand(rig, batch.id, lines)

    def get(self, path: str = "results", headers: dict[str, str] | None = None, **query: Any) -> requests.Response:
        return requests.get(
            f"{self.rig.url}/v1/batches/{self.id}/{path}",
            params=query,
            headers={"Authorization": f"Bearer {self.client.api_key}", **(headers or {})},
            timeout=30,
        )

    def page(self, **query: Any) -> dict[str, Any]:
        reply = self.get(**query)
        assert reply.status_code == 200, reply.text
        page: dict[str, Any] = reply.json()
        return page

    def stream(self, path: str, headers: dict[str, str] | None = None, **query: Any) -> requests.Response:
        return requests.get(
            f"{self.rig.url}/v1/batches/{self.id}/{path}",
            params=query,
            headers={
                "Authorization": f"Bearer {self.client.api_key}",
                "Accept": "text/event-stream",
                **(headers or {}),
            },
            stream=True,
            timeout=30,
        )


def frames(reply: requests.Response) -> Iterator[dict[str, str]]:
    """As the standard reads a stream of events."""
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"].startswith("text/event-stream")
    frame: dict[str, str] = {}
    for raw in reply.iter_lines(chunk_size=1):
        told = raw.decode()
        if not told:
            if "data" in frame:
                yield frame
            frame = {}
        elif not told.startswith(":"):
            name, _, value = told.partition(": ")
            assert name not in frame
            frame[name] = value


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "POLL_S", 0.02)
    monkeypatch.setattr(streams, "BATCH_EVERY_S", 0.02)


@pytest.fixture
def reader(rig: Rig, client: openai.OpenAI) -> Reader:
    return Reader(rig, client)


def test_a_page_tells_all_of_each_line(reader: Reader) -> None:
    reader.hand.plan()
    assert reader.page() == {"object": "list", "data": [], "has_more": False, "next": "c0-0", "status": "in_progress"}
    reader.hand.answer()
    page = reader.page(limit=3)
    assert ([each["line"] for each in page["data"]], page["has_more"]) == (ORDER[:3], True)
    assert page["data"][0] == {
        "object": "batch.line", "line": 9, "custom_id": "r-9", "outcome": "succeeded", "invalid_output": False,
        "reused": False, "finish_reason": "stop", "status_code": 200, "error_code": None, "attempts": 1,
        "latency_ms": 5, "provider": "sim", "model": "m", "mode": "realtime", "result": json.loads(line(9)),
        "usage": {"input_tokens": 10, "cached_tokens": 4, "output_tokens": 3, "reasoning_tokens": 1},
    }  # fmt: skip
    rest = reader.page(after=page["next"])
    assert ([each["line"] for each in rest["data"]], rest["has_more"]) == (ORDER[3:], False)
    assert line(9)[:-1] in reader.get(limit=1).content, "the very bytes"
    failed = reader.page(order="input", outcome="failed", include="request")
    assert [each["line"] for each in failed["data"]] == [2, 5, 8]
    assert [each["request"] for each in failed["data"]] == [ASKED[2], ASKED[5], ASKED[8]]
    one = reader.get("results/4").json()
    assert (one["line"], one["result"], one["request"]) == (4, json.loads(line(4)), ASKED[4])


def test_bare_lines_are_those_of_the_files(reader: Reader) -> None:
    reader.hand.plan()
    reader.hand.answer()
    headers = {"Accept": "application/x-ndjson"}
    reply = reader.get(headers=headers, order="input", outcome="succeeded", limit=4)
    good = [line(number) for number in range(10) if succeeded(number)]
    assert reply.content == b"".join(good[:4])
    assert reply.headers["content-type"] == "application/x-ndjson; charset=utf-8"
    assert reply.headers["x-batchrouter-has-more"] == "true"
    rest = reader.get(format="jsonl", order="input", outcome="succeeded", after=reply.headers["x-batchrouter-next"])
    assert rest.content == b"".join(good[4:])
    assert rest.headers["x-batchrouter-has-more"] == "false"
    for happens in (lambda: reader.hand.end(BatchEvent.COMPLETE), reader.hand.fold):
        happens()
        for outcome, success in (("succeeded", True), ("failed", False)):
            assert reader.get(format="jsonl", order="input", outcome=outcome).content == expected(10, success)
    batch = reader.client.batches.retrieve(reader.id)
    assert batch.output_file_id is not None
    assert reader.client.files.content(batch.output_file_id).content == expected(10, True)


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"order": "random"}, "order"),
        ({"outcome": "succeeded,lost"}, "outcome"),
        ({"outcome": "unfinished"}, "outcome"),
        ({"finish_reason": "tired"}, "finish_reason"),
        ({"limit": "0"}, "limit"),
        ({"limit": "1001"}, "limit"),
        ({"after": "evil"}, "after"),
        ({"after": "i3"}, "after"),
        ({"include": "all"}, "include"),
        ({"format": "csv"}, "format"),
        ({"wait": "61"}, "wait"),
        ({"wait": "soon"}, "wait"),
        ({"text": "x" * 1001}, "text"),
        ({"code": ",".join(map(str, range(30)))}, "code"),
    ],
)
def test_what_cannot_be_asked_is_said_to_be_so(rig: Rig, client: openai.OpenAI, query: Any, param: str) -> None:
    reader = Reader(rig, client, 1)
    reply = reader.get(**query)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)


def test_lines_that_are_not_there(reader: Reader) -> None:
    reply = reader.get("results/0")
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "line_not_found")
    reader.hand.complete()
    for number in ("10", "-1", "99999999999"):
        reply = reader.get(f"results/{number}")
        assert (reply.status_code, reply.json()["error"]["code"]) == (404, "line_not_found"), number
    assert reader.get("results/x").status_code == 400
    batch = reader.client.batches.retrieve(reader.id)
    for file_id in (batch.output_file_id, batch.error_file_id):
        assert file_id is not None
        reader.client.files.delete(file_id)
    for path in ("results", "results/0"):
        reply = reader.get(path)
        assert (reply.status_code, reply.json()["error"]["code"]) == (404, "results_gone")


def later(work: Any, *args: Any, **kwargs: Any) -> Future[Any]:
    pool = ThreadPoolExecutor(1)
    try:
        return pool.submit(work, *args, **kwargs)
    finally:
        pool.shutdown(wait=False)


def await_waiters(rig: Rig, count: int = 1) -> None:
    deadline = time.monotonic() + 20
    while rig.service.watching.waiting < count:
        assert time.monotonic() < deadline, "nobody waits"
        time.sleep(0.01)


def test_the_official_client_waits_for_a_batch(reader: Reader, rig: Rig) -> None:
    """For a change, and for the end; one that has ended is told at once."""
    waiting = later(reader.client.batches.retrieve, reader.id, extra_query={"wait": 60})
    await_waiters(rig)
    reader.hand.plan()
    assert waiting.result(20).status == "in_progress"
    ended = later(reader.client.batches.retrieve, reader.id, extra_query={"wait": 60, "wait_for": "final"})
    await_waiters(rig)
    reader.hand.answer()
    changed = later(reader.client.batches.retrieve, reader.id, extra_headers={"Prefer": "respond-async, wait=60"})
    reader.hand.end(BatchEvent.COMPLETE)
    assert changed.result(20).id == reader.id
    assert ended.result(20).status == "completed"
    assert reader.client.batches.retrieve(reader.id, extra_query={"wait": 60}).status == "completed"


@pytest.mark.parametrize("order", ["completion", "input"])
def test_a_page_waits_for_the_next_line_that_matches(reader: Reader, rig: Rig, order: str) -> None:
    """In input order also for one that it had passed over."""
    reader.hand.plan()
    waiting = later(reader.page, wait=60, order=order, outcome="failed")
    await_waiters(rig)
    reader.hand.answer()
    page = waiting.result(20)
    found = [each["line"] for each in page["data"]]
    assert found in ([5], [5, 8, 2] if order == "completion" else [2, 5, 8])
    end = later(reader.page, wait=60, order=order, after=page["next"], outcome="expired")
    await_waiters(rig)
    reader.hand.end(BatchEvent.COMPLETE)
    page = end.result(20)
    assert (page["data"], page["has_more"], page["status"]) == ([], False, "completed")


def test_a_stream_is_never_silent_for_long(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxies cut what is; a reader that reconnects goes on from there."""
    monkeypatch.setattr(streams, "COMMENT_S", 0.05)
    monkeypatch.setattr(streams, "LOOK_S", 0.05)
    reader.hand.plan()
    for path, cursor in (("results", b"id: c0-0"), ("events", b"")):
        with reader.stream(path) as reply:
            lines = reply.iter_lines(chunk_size=1)
            assert b": waiting" in lines
            assert next(lines) == cursor


def test_lines_are_streamed_until_all_are_told(reader: Reader, rig: Rig) -> None:
    """A reader that was cut off goes on behind the last line that it saw."""
    reader.hand.plan()
    stream = frames(reader.stream("results", limit=4))
    reader.hand.answer()
    first = [next(stream) for _ in range(6)]
    assert [json.loads(frame["data"])["line"] for frame in first] == ORDER[:6]
    assert {frame["event"] for frame in first} == {"line"}
    stream.close()
    again = frames(reader.stream("results", {"Last-Event-ID": first[-1]["id"]}, outcome="succeeded"))
    rest = [next(again) for _ in range(sum(succeeded(number) for number in ORDER[6:]))]
    assert [json.loads(frame["data"])["line"] for frame in rest] == [each for each in ORDER[6:] if succeeded(each)]
    await_waiters(rig)
    reader.hand.end(BatchEvent.COMPLETE)
    last = list(again)
    assert [frame["event"] for frame in last] == ["end"]
    assert json.loads(last[0]["data"]) == {"id": reader.id, "status": "completed"}
    assert reader.stream("results", order="input").status_code == 400


def test_events_are_listed_waited_for_and_streamed(reader: Reader, rig: Rig) -> None:
    listed = reader.get("events").json()
    so_far = len(listed["data"])
    waiting = later(lambda: reader.get("events", after=so_far, wait=60).json())
    await_waiters(rig)
    stream = frames(reader.stream("events"))
    shown = [next(stream) for _ in range(so_far + 1)]
    assert json.loads(shown[-1]["data"])["status"] == "validating"
    reader.hand.plan()
    (event,) = waiting.result(20)["data"]
    assert (event["object"], event["type"], event["data"]) == ("event", "batch.in_progress", {"id": reader.id})
    assert event["id"].startswith("evt_")
    reader.hand.answer()
    reader.hand.end(BatchEvent.COMPLETE)
    rest = list(stream)
    told = [json.loads(frame["data"]) for frame in rest if frame["event"] == "event"]
    assert [each["type"] for each in told] == ["batch.in_progress", "batch.finalizing", "batch.completed"]
    assert [frame["id"] for frame in rest if frame["event"] == "event"] == [str(each["no"]) for each in told]
    batches = [json.loads(frame["data"]) for frame in rest if frame["event"] == "batch"]
    assert batches[-1] == reader.client.batches.retrieve(reader.id).to_dict()
    assert rest[-1]["event"] == "end"
    after = frames(reader.stream("events", {"Last-Event-ID": str(told[-2]["no"])}))
    assert [frame["event"] for frame in after] == ["event", "batch", "end"]


def test_long_replies_go_out_in_pieces(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the same bytes, with their length where it is known."""
    reader.hand.complete()
    asked: list[dict[str, Any]] = [{}, {"format": "jsonl"}, {"headers": {"Accept": "text/event-stream"}}]
    whole = [reader.get(**query).content for query in asked]
    monkeypatch.setattr(replies, "PIECE_BYTES", 50)
    for query, content in zip(asked, whole, strict=True):
        reply = reader.get(**query)
        assert reply.content == content
        assert reply.headers.get("content-length", str(len(content))) == str(len(content))


def test_nobody_waits_for_a_head(reader: Reader) -> None:
    headers = {"Authorization": f"Bearer {reader.client.api_key}", "Accept": "text/event-stream"}
    for path in ("", "/results", "/events"):
        url = f"{reader.rig.url}/v1/batches/{reader.id}{path}?wait=60"
        assert requests.head(url, headers=headers, timeout=20).status_code == 200


def test_a_client_that_is_gone_waits_no_more(reader: Reader, rig: Rig) -> None:
    """Neither a long poll nor a stream."""
    host, port = "127.0.0.1", rig.port
    for accept in ("application/json", "text/event-stream"):
        before = rig.service.watching.waiting
        with socket.create_connection((host, port)) as connection:
            connection.sendall(
                f"GET /v1/batches/{reader.id}/results?wait=60 HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\n"
                f"Authorization: Bearer {reader.client.api_key}\r\n\r\n".encode()
            )
            await_waiters(rig, before + 1)
        deadline = time.monotonic() + 20
        while rig.service.watching.waiting > before:
            assert time.monotonic() < deadline, "it waits for nobody"
            time.sleep(0.01)


def test_whoever_waits_is_answered_when_the_server_stops() -> None:
    """At once, with what there is; a stream ends without saying that the batch had."""
    with Rig() as rig, openai.OpenAI(api_key=rig.key("one"), base_url=f"{rig.url}/v1", max_retries=0) as client:
        reader = Reader(rig, client)
        reader.hand.plan()
        polls = [
            later(reader.page, wait=60),
            later(lambda: reader.get("events", after=9, wait=60).json()),
            later(client.batches.retrieve, reader.id, extra_query={"wait": 60}),
        ]
        streams = [later(lambda path=path: list(frames(reader.stream(path)))) for path in ("results", "events")]
        await_waiters(rig, 5)
        stopping = threading.Thread(target=lambda: rig.run(rig.server.stop(20.0)))
        stopping.start()
        page, events, batch = (poll.result(15) for poll in polls)
        assert (page["data"], events["data"], batch.status) == ([], [], "in_progress")
        for stream in streams:
            assert "end" not in [frame["event"] for frame in stream.result(15)]
        stopping.join(15)
        assert not stopping.is_alive()
