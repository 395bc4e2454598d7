"""The client of all these commands against servers that restart, break off, redirect and speak TLS."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from batchrouter.cli import client as module
from batchrouter.cli.client import Client
from batchrouter.cli.content import content, loaded
from batchrouter.cli.place import Place
from batchrouter.cli.server import Server
from batchrouter.cli.told import FileTold
from batchrouter.errors import ApiError, ConfigError, TransportError

Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def serving(answer: Answer, context: ssl.SSLContext | None = None) -> Iterator[str]:
    """A server that answers every request so; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http{'s' if context else ''}://localhost:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def send(handler: BaseHTTPRequestHandler, status: int, body: bytes = b"{}", **headers: str) -> None:
    handler.send_response(status)
    for name, value in {"content-length": str(len(body)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AGAIN_S", 0.01)


def test_a_server_that_restarts_is_waited_for_and_people_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only by calls that may be repeated; once is said that it waits, once that it is over."""
    asked: list[str] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        asked.append(handler.command)
        if len(asked) < 4:
            send(handler, 503, retry_after="0")
        else:
            send(handler, 200, b'{"a": 1}')

    with serving(answer) as url:
        said: list[str] = []
        client = Client(url, "key", patience_s=30)
        client.note = said.append
        assert client.json("GET", "/x") == {"a": 1}
        assert [words.rpartition(" ")[2] for words in said] == ["s.", "again."]
        asked.clear()
        with pytest.raises(ApiError):
            client.json("POST", "/x", {})
        assert asked == ["POST"]
        assert client.json("POST", "/x", {}, key="k") == {"a": 1}
        asked.clear()
        with pytest.raises(ApiError):
            Client(url, "key").json("GET", "/x")


def test_a_server_that_was_never_there_is_not_waited_for() -> None:
    """It is a mistake in the address more often than a restart."""
    with pytest.raises(TransportError, match="does not answer"):
        Client("http://127.0.0.1:9", None, patience_s=1_000).json("GET", "/x")


def test_what_the_server_says_is_kept_and_what_is_no_answer_of_it_is_told() -> None:
    """Errors in its words; a redirect with where to."""
    with serving(lambda handler: send(handler, 400, b'{"error":{"message":"no","code":"c","param":"p"}}')) as url:
        with pytest.raises(ApiError) as caught:
            Client(url, None).json("GET", "/x")
        assert (str(caught.value), caught.value.code, caught.value.param) == ("no", "c", "p")
    with (
        serving(lambda handler: send(handler, 301, b"", location="https://there/")) as url,
        pytest.raises(ApiError, match=r"status 301 .to https://there/"),
    ):
        Client(url, None).json("GET", "/x")


def test_an_address_may_be_said_in_several_ways() -> None:
    """With and without scheme, path and /v1; what is none is told."""
    for told in ("http://h:1", "h:1", "http://h:1/", "http://h:1/v1", "http://h:1/v1/"):
        assert Client(told, None).url == "http://h:1"
    assert Client("https://h/api/v1", None).url == "https://h/api"
    assert Client("http://[::1]:8000", None).url == "http://[::1]:8000"
    for wrong in ("ftp://h", "http://", "http://h:99999", "h:port"):
        with pytest.raises(ConfigError):
            Client(wrong, None)


def test_tls_is_checked(need: Callable[[str, str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate of an authority that nobody knows is refused, unless the environment names it."""
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    made = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    made += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([need("openssl", "openssl"), *made], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with serving(lambda handler: send(handler, 200), context) as url:
        with pytest.raises(TransportError, match="CERTIFICATE_VERIFY_FAILED"):
            Client(url, "secret").json("GET", "/x")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert Client(url, "secret").json("GET", "/x") == {}


def test_a_download_that_breaks_off_is_asked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Piece by piece; what has come is not asked for twice, and a short piece is never taken for a whole one."""
    monkeypatch.setattr("batchrouter.cli.content.PIECE_BYTES", 1_000)
    data = bytes(range(256)) * 20
    ranges: list[str] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        told = handler.headers["range"]
        ranges.append(told)
        first, last = map(int, told.removeprefix("bytes=").split("-"))
        piece = data[first : last + 1]
        if len(ranges) % 2:
            send(handler, 206, piece)
        else:
            handler.send_response(206)
            handler.send_header("content-length", str(len(piece)))
            handler.end_headers()
            handler.wfile.write(piece[:300])

    with serving(answer) as url:
        server = Server(Place(url=url, key="k", url_from="", key_from=""), patience_s=30)
        server.client.note = lambda _: None
        file = FileTold("file-x", len(data))
        assert b"".join(content(server, file)) == data
        part = tmp_path / ".out.file-x.part"
        part.write_bytes(data[:2_500])
        ranges.clear()
        with loaded(server, file, tmp_path / "out") as path:
            assert path is not None
            assert path.read_bytes() == data
        assert ranges[0] == "bytes=2500-3499"
        assert not part.exists()
        server.client.patience_s = 0.0
        ranges[:] = ["even"]
        with pytest.raises(TransportError), loaded(server, file, tmp_path / "out"):
            pass
        assert part.exists()
