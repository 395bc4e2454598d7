"""The broken wires break what they say, and nothing else."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import socket
import threading
from collections.abc import Iterator
from typing import ClassVar

import pytest

from tests.chaos.http_link import CLEAR, Fault, HttpLink, Weather
from tests.chaos.proxies import Proxies, running_proxies
from tests.chaos.tcp_link import TcpLink, Wire

WAIT_S = 10.0
QUIET_S = 0.1
"""Nothing came for so long: on a slow machine this proves less, and never fails."""


@pytest.fixture(scope="module")
def proxies() -> Iterator[Proxies]:
    with running_proxies() as running:
        yield running


class Echo:
    """Answers each piece with itself, and remembers what it got."""

    def __init__(self) -> None:
        self.got = b""
        self.arrived = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(1000):
                self.got += data
                self.arrived.set()
                connection.sendall(data)

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    server.close()


@pytest.fixture
def link(proxies: Proxies, echo: Echo) -> TcpLink:
    return TcpLink(proxies, echo.port)


@pytest.fixture
def wire(link: TcpLink) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", link.port), WAIT_S) as connected:
        assert said(connected, b"first") == b"first"
        yield connected


def said(connected: socket.socket, words: bytes) -> bytes:
    connected.sendall(words)
    return connected.recv(1000)


def silent(connected: socket.socket) -> bool:
    connected.settimeout(QUIET_S)
    try:
        connected.recv(1000)
    except TimeoutError:
        return True
    finally:
        connected.settimeout(WAIT_S)
    return False


def test_a_cut_resets_what_is_connected_and_who_connects(link: TcpLink, wire: socket.socket, echo: Echo) -> None:
    link.set(Wire.CUT)
    with pytest.raises(ConnectionResetError):
        wire.recv(1000)
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", link.port), WAIT_S) as late:
        late.sendall(b"second")
        assert late.recv(1000) == b""
    link.set(Wire.THROUGH)
    with socket.create_connection(("127.0.0.1", link.port), WAIT_S) as anew:
        assert said(anew, b"third") == b"third"
    assert echo.got == b"firstthird"


def test_what_a_black_hole_swallowed_arrives_when_it_is_gone(link: TcpLink, wire: socket.socket, echo: Echo) -> None:
    link.set(Wire.BLACKHOLE)
    wire.sendall(b"second")
    with socket.create_connection(("127.0.0.1", link.port), WAIT_S) as other:
        other.sendall(b"third")
        assert silent(wire)
        assert silent(other)
        assert echo.got == b"first"
        link.set(Wire.THROUGH)
        assert (wire.recv(1000), other.recv(1000)) == (b"second", b"third")


def test_a_deaf_wire_brings_what_is_asked_and_never_a_reply(link: TcpLink, wire: socket.socket, echo: Echo) -> None:
    link.set(Wire.DEAF)
    echo.arrived.clear()
    wire.sendall(b"second")
    assert echo.arrived.wait(WAIT_S)
    assert silent(wire)
    link.set(Wire.THROUGH)
    with pytest.raises(ConnectionResetError):
        wire.recv(1000)
    assert echo.got == b"firstsecond"


def test_a_slow_wire_keeps_the_order(link: TcpLink, wire: socket.socket) -> None:
    link.set(Wire.SLOW, 0.02)
    assert [said(wire, b"%d" % each) for each in range(3)] == [b"0", b"1", b"2"]


def test_the_end_of_one_side_is_told_to_the_other(link: TcpLink, wire: socket.socket) -> None:
    wire.shutdown(socket.SHUT_WR)
    assert wire.recv(1000) == b""
    assert link.connections >= 0


# --- HTTP -----------------------------------------------------------------------------------------------------------

BODY = bytes(range(256)) * 1000


class Shelf(http.server.BaseHTTPRequestHandler):
    """Keeps what is PUT and gives it back; in chunks where the path says so."""

    protocol_version = "HTTP/1.1"
    kept: ClassVar[dict[str, bytes]] = {}

    def do_PUT(self) -> None:
        try:
            body = self.rfile.read(int(self.headers["content-length"]))
        except ConnectionResetError:
            self.close_connection = True
            return
        self.kept[self.path] = body
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        body = self.kept.get(self.path, b"")
        self.send_response(200 if body else 404)
        if self.path.startswith("/chunks"):
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            for data in (body[:1000], body[1000:]):
                self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
            self.wfile.write(b"0\r\n\r\n")
            return
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def shelf() -> Iterator[int]:
    Shelf.kept.clear()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Shelf)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


@pytest.fixture
def http_link(proxies: Proxies, shelf: int) -> HttpLink:
    return HttpLink(proxies, shelf)


def ask(link: HttpLink, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", link.port, timeout=WAIT_S)
    try:
        connection.request(method, path, body)
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()


def test_a_clear_link_changes_nothing(http_link: HttpLink) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", http_link.port, timeout=WAIT_S)
    for path in ("/plain", "/chunks"):
        for method, body, expected in (("PUT", BODY, b""), ("GET", None, BODY), ("HEAD", None, b"")):
            if (method, path) == ("HEAD", "/chunks"):
                continue
            connection.request(method, path, body)  # all over one connection
            reply = connection.getresponse()
            assert (reply.status, reply.read()) == (200, expected)
    connection.close()


@pytest.mark.parametrize("fault", [Fault.TORN_REQUEST, Fault.TORN_REPLY, Fault.LOST_REPLY])
def test_a_torn_exchange_is_an_error_and_is_done_or_not_as_it_says(http_link: HttpLink, fault: Fault) -> None:
    http_link.set(Weather((fault,), 1.0))
    with pytest.raises((OSError, http.client.HTTPException)):
        ask(http_link, "PUT", "/torn", BODY)
    http_link.set(CLEAR)
    done = fault is not Fault.TORN_REQUEST
    assert ask(http_link, "GET", "/torn") == ((200, BODY) if done else (404, b""))
    assert http_link.faults[fault] == 1


def test_half_of_a_reply_is_no_reply(http_link: HttpLink) -> None:
    ask(http_link, "PUT", "/half", BODY)
    http_link.set(Weather((Fault.TORN_REPLY,), 1.0))
    with pytest.raises((OSError, http.client.HTTPException)):
        ask(http_link, "GET", "/half")


def test_a_busy_store_says_so_and_does_nothing(http_link: HttpLink) -> None:
    http_link.set(Weather((Fault.BUSY,), 1.0))
    assert ask(http_link, "PUT", "/busy", BODY)[0] == 503
    http_link.set(CLEAR)
    assert ask(http_link, "GET", "/busy")[0] == 404


def test_a_hang_ends_with_the_fault_and_did_nothing(http_link: HttpLink) -> None:
    http_link.set(Weather((Fault.HANG,), 1.0))
    ended = threading.Event()

    def put() -> None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            ask(http_link, "PUT", "/hung", BODY)
            return
        ended.set()

    asking = threading.Thread(target=put)
    asking.start()
    assert not ended.wait(QUIET_S)
    http_link.set(CLEAR)
    assert ended.wait(WAIT_S)
    asking.join()
    assert ask(http_link, "GET", "/hung")[0] == 404


def test_slow_is_late_and_whole(http_link: HttpLink) -> None:
    http_link.set(Weather((Fault.SLOW,), 1.0, 0.05))
    ask(http_link, "PUT", "/slow", BODY)
    assert ask(http_link, "GET", "/slow") == (200, BODY)
    assert http_link.faults[Fault.SLOW] == 2
