"""What happens on the socket: upgrades that are only offered, clients that are too slow, and a server that stops."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from batchrouter.adapters.blobs import MemoryBlobs
from tests.acceptance.api.rig import USER_KEY, Rig

AUTH = f"Authorization: Bearer {USER_KEY}\r\n".encode()
LINE = b'{"custom_id":"a","method":"POST","url":"/v1/embeddings","body":{"model":"m","input":"x"}}\n'


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    with Rig(header_timeout_s=0.3, body_timeout_s=0.3, body_min_bytes=100) as running:
        yield running


def connect(rig: Rig) -> socket.socket:
    return socket.create_connection(("127.0.0.1", rig.port), timeout=10)


def read_reply(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of one reply with a length."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        assert piece, data
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    assert headers["x-request-id"].startswith("req_")
    assert headers["date"].endswith(" GMT")
    while len(body) < int(headers["content-length"]):
        body += connection.recv(65536)
    return int(lines[0].split()[1]), headers, body


def form(data: bytes) -> bytes:
    return (
        b'--B\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
        b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\n'
        b"Content-Type: application/jsonl\r\n\r\n" + data + b"\r\n--B--\r\n"
    )


def upload_head(size: int, extra: bytes = b"") -> bytes:
    return (
        b"POST /v1/files HTTP/1.1\r\nHost: localhost\r\n" + AUTH + extra
        + b"Content-Type: multipart/form-data; boundary=B\r\nContent-Length: " + str(size).encode() + b"\r\n\r\n"
    )  # fmt: skip


def files(rig: Rig) -> list[Any]:
    with closing(connect(rig)) as connection:
        connection.sendall(b"GET /v1/files HTTP/1.1\r\nHost: x\r\n" + AUTH + b"\r\n")
        listed: list[Any] = json.loads(read_reply(connection)[2])["data"]
        return listed


def left_behind(rig: Rig) -> int:
    assert isinstance(rig.blobs, MemoryBlobs)
    return rig.blobs._unfinished_bytes


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not true() and time.monotonic() < deadline:
        time.sleep(0.01)


def test_an_upload_that_offers_h2c_is_served_as_http_1_with_its_whole_body(rig: Rig) -> None:
    """Java's HttpClient sends these headers with its first request, and the body right behind them."""
    data = LINE * 5_000
    body = form(data)
    offer = (
        b"Connection: Upgrade, HTTP2-Settings\r\n"
        b"HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\nUpgrade: h2c\r\n"
    )
    with closing(connect(rig)) as connection:
        connection.sendall(upload_head(len(body), offer) + body)
        status, headers, reply = read_reply(connection)
        assert (status, json.loads(reply)["bytes"]) == (200, len(data))
        assert "upgrade" not in headers
        # The connection stays, and the next request on it is another one.
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n")
        assert read_reply(connection)[0] == 200
        connection.sendall(upload_head(len(body)) + body)
        assert read_reply(connection)[0] == 200


@pytest.mark.parametrize("pieces", [1, 7, 100])
def test_the_body_is_the_same_however_it_comes(rig: Rig, pieces: int) -> None:
    data = LINE * 4_000
    body = form(data)
    step = len(body) // pieces + 1
    with closing(connect(rig)) as connection:
        connection.sendall(upload_head(len(body)))
        for start in range(0, len(body), step):
            connection.sendall(body[start : start + step])
        status, _, reply = read_reply(connection)
        assert status == 200
        file = json.loads(reply)
        assert (file["bytes"], file["num_rows"]) == (len(data), 4_000)
        path = f"/v1/files/{file['id']}/content".encode()
        connection.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n" + AUTH + b"\r\n")
        assert read_reply(connection)[2] == data


def test_a_chunked_body_and_pipelined_requests_are_served(rig: Rig) -> None:
    body = form(LINE)
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(body[i : i + 50]), body[i : i + 50]) for i in range(0, len(body), 50))
    head = upload_head(0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    with closing(connect(rig)) as connection:
        connection.sendall(head + chunks + b"0\r\n\r\n" + b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert read_reply(connection)[0] == 200


def test_expect_100_continue_is_answered(rig: Rig) -> None:
    body = form(LINE)
    with closing(connect(rig)) as connection:
        connection.sendall(upload_head(len(body), b"Expect: 100-continue\r\n"))
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        connection.sendall(body)
        assert read_reply(connection)[0] == 200


def drip(connection: socket.socket, data: bytes, every_s: float) -> bytes:
    """Send byte by byte until the server answers; the whole answer, up to the end of the connection."""
    connection.settimeout(every_s)
    for place in range(len(data)):
        try:
            connection.sendall(data[place : place + 1])
            answer = connection.recv(65536)
        except TimeoutError:
            continue
        connection.settimeout(10)
        try:
            while more := connection.recv(65536):
                answer += more
        except ConnectionResetError:  # bytes of ours were still on their way when it closed
            pass
        return answer
    raise AssertionError("the server took every byte and never minded")


def test_an_upload_that_drips_is_ended_with_408_and_leaves_nothing(rig: Rig) -> None:
    before = len(files(rig))
    body = form(LINE * 100)
    with closing(connect(rig)) as connection:
        connection.sendall(upload_head(len(body)) + body[:300])
        began = time.monotonic()
        answer = drip(connection, body[300:], 0.02)
        assert time.monotonic() - began < 5
    assert answer.startswith(b"HTTP/1.1 408 ")
    error = json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
    assert (error["code"], error["type"], error["status"]) == ("request_timeout", "invalid_request_error", 408)
    assert (len(files(rig)), left_behind(rig)) == (before, 0)


def test_an_upload_that_stands_still_is_ended_with_408(rig: Rig) -> None:
    body = form(LINE * 100)
    with closing(connect(rig)) as connection:
        connection.sendall(upload_head(len(body)) + body[:300])
        assert read_reply(connection)[0] == 408
        assert connection.recv(10) == b""
    assert left_behind(rig) == 0


def test_a_head_that_drips_is_ended_with_408(rig: Rig) -> None:
    with closing(connect(rig)) as connection:
        answer = drip(
            connection, b"GET /v1/files HTTP/1.1\r\n" + b"X-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" * 20, 0.02
        )
    assert answer.startswith(b"HTTP/1.1 408 ")


def test_a_second_head_on_a_kept_connection_has_a_limit_too(rig: Rig) -> None:
    with closing(connect(rig)) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert read_reply(connection)[0] == 200
        connection.sendall(b"GET /healthz HT")
        assert read_reply(connection)[0] == 408


def test_a_connection_that_says_nothing_is_closed(rig: Rig) -> None:
    with closing(connect(rig)) as connection:
        assert connection.recv(10) == b""


def test_a_slow_but_steady_upload_is_not_ended(rig: Rig) -> None:
    """One window after another brings enough; the whole takes longer than any window."""
    body = form(LINE * 6)
    with closing(connect(rig)) as connection:
        connection.sendall(upload_head(len(body)))
        for start in range(0, len(body), 80):
            connection.sendall(body[start : start + 80])
            time.sleep(0.06)
        assert read_reply(connection)[0] == 200


def test_a_client_that_goes_away_in_the_middle_leaves_nothing(rig: Rig) -> None:
    before = len(files(rig))
    body = form(LINE * 1000)
    with closing(connect(rig)) as connection:
        connection.sendall(upload_head(len(body)) + body[: len(body) // 2])
        wait_until(lambda: left_behind(rig) > 0)
    wait_until(lambda: left_behind(rig) == 0)
    assert (len(files(rig)), left_behind(rig)) == (before, 0)


@pytest.mark.parametrize(
    "garbage", [b"\x16\x03\x01\x02\x00\x01", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n"]
)
def test_what_is_not_http_gets_an_error_that_can_be_read(rig: Rig, garbage: bytes) -> None:
    with closing(connect(rig)) as connection:
        connection.sendall(garbage + b"\r\n\r\n")
        status, _, body = read_reply(connection)
        assert (status, json.loads(body)["error"]["status"]) == (400, 400)


def test_a_refused_upload_is_answered_though_its_body_is_still_coming(rig: Rig) -> None:
    body = form(LINE * 10_000)
    head = upload_head(len(body)).replace(USER_KEY.encode(), b"sk-wrong-wrong-wrong")
    with closing(connect(rig)) as connection:
        connection.sendall(head + body)
        assert read_reply(connection)[0] == 401
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert read_reply(connection)[0] == 200


def test_more_connections_than_allowed_are_closed() -> None:
    with Rig(max_connections=1) as small, closing(connect(small)) as first:
        first.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert read_reply(first)[0] == 200
        with closing(connect(small)) as second:
            assert second.recv(10) == b""


def test_a_server_that_stops_refuses_new_work_and_ends_what_waits() -> None:
    with Rig() as stopping, closing(connect(stopping)) as uploading, closing(connect(stopping)) as idle:
        body = form(LINE)
        uploading.sendall(upload_head(len(body)) + body[:20])
        idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert read_reply(idle)[0] == 200
        stopping.call(stopping.server.begin_shutdown)
        status, headers, reply = read_reply(uploading)
        assert (status, headers["retry-after"]) == (503, "5")
        assert json.loads(reply)["error"]["code"] == "server_stopping"
        assert idle.recv(10) == b""
        with closing(connect(stopping)) as late:
            late.sendall(b"GET /v1/files HTTP/1.1\r\nHost: x\r\n" + AUTH + b"\r\n")
            status, headers, _ = read_reply(late)
            assert (status, headers["retry-after"], headers["connection"].lower()) == (503, "5", "close")
        with closing(connect(stopping)) as probe:
            probe.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert read_reply(probe)[2] == b'{"status":"stopping"}'


def test_a_download_may_end_while_the_server_stops() -> None:
    with Rig() as stopping, closing(connect(stopping)) as connection:
        data = LINE * 100_000
        body = form(data)
        connection.sendall(upload_head(len(body)) + body)
        id = json.loads(read_reply(connection)[2])["id"]
        connection.sendall(b"GET /v1/files/" + id.encode() + b"/content HTTP/1.1\r\nHost: x\r\n" + AUTH + b"\r\n")
        received = connection.recv(1000)
        stopping.call(stopping.server.begin_shutdown)
        while piece := connection.recv(1 << 20):
            received += piece
        assert received.partition(b"\r\n\r\n")[2] == data
