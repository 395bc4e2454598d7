"""A small HTTP client for a BatchRouter server: plain calls over HTTP or TLS, no proxy, no dependency.

Calls that may be repeated wait for a server that restarts, and say so. Bodies are streamed both ways.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from batchrouter.cli.words import say, seconds
from batchrouter.errors import ApiError, ConfigError, TransportError

TIMEOUT_S = 60.0
AGAIN_S = 1.0
"""Between two tries where the server tells no Retry-After."""
AGAIN_MOST_S = 10.0
CHUNK_BYTES = 256 * 1024
REPLY_BYTES = 64 * 1024 * 1024
"""Of a reply that is read whole."""
GONE = (502, 503, 504)

T = TypeVar("T")
Body = bytes | Callable[[], Iterable[bytes]]
"""A body that is made anew for each try, where it is too large to be kept."""


@dataclass(frozen=True, slots=True)
class Reply:
    """`content` is of a call that read it whole."""

    headers: Mapping[str, str]
    content: bytes = b""


class Client:
    """One connection per call. Raises `ApiError` for an answer that is no 2xx, `TransportError` for none.

    `patience_s`: how long a call that may be repeated waits for a server that answered this client before, or that
    answers with 502, 503 or 504. `note` is told of such a wait, and of its end."""

    def __init__(self, url: str, key: str | None, *, patience_s: float = 0.0, timeout_s: float = TIMEOUT_S) -> None:
        """Raises `ConfigError` for what is no URL."""
        parts = urlsplit(url if "://" in url else f"http://{url}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"'{url}' is no URL of a server; one looks like http://127.0.0.1:8000")
        try:
            self._port = parts.port
        except ValueError as error:
            raise ConfigError(f"'{url}' has no port that can be: {error}") from error
        self._secure = parts.scheme == "https"
        self._host = parts.hostname
        self._prefix = parts.path.rstrip("/").removesuffix("/v1").rstrip("/")
        self._key = key
        self.timeout_s = timeout_s
        self._reached = False
        port = "" if self._port is None else f":{self._port}"
        host = f"[{self._host}]" if ":" in self._host else self._host
        self.url = f"{parts.scheme}://{host}{port}{self._prefix}"
        self.patience_s = patience_s
        self.note: Callable[[str], None] = say

    def json(self, method: str, path: str, body: object = None, *, key: str | None = None) -> Any:
        """`key`: an Idempotency-Key, with which a POST may be repeated. Others that change something are not."""
        data = b"" if body is None else msgspec.json.encode(body)
        headers = {} if body is None else {"content-type": "application/json"}
        if key is not None:
            headers["idempotency-key"] = key
        again = method == "GET" or key is not None
        return msgspec.json.decode(self.call(method, path, data, headers, again=again))

    def call(
        self,
        method: str,
        path: str,
        body: Body = b"",
        headers: Mapping[str, str] | None = None,
        *,
        again: bool = False,
        longer_s: float = 0.0,
    ) -> bytes:
        """`longer_s`: how much later than usual the server may answer."""

        def once() -> bytes:
            with self._exchange(method, path, body, headers, longer_s) as reply:
                return self._read(reply, REPLY_BYTES)

        return self.patiently(once) if again else once()

    def reply(self, path: str, headers: Mapping[str, str], *, longer_s: float = 0.0) -> Reply:
        """A GET with the reply's headers, names in lower case."""

        def once() -> Reply:
            with self._exchange("GET", path, b"", headers, longer_s) as reply:
                return Reply(_headers(reply), self._read(reply, REPLY_BYTES))

        return self.patiently(once)

    @contextmanager
    def stream(self, path: str, headers: Mapping[str, str]) -> Iterator[tuple[int, Mapping[str, str], Iterator[bytes]]]:
        """Status, headers and the bytes as they come; their iterator raises `TransportError` when they break off."""
        with self._exchange("GET", path, b"", headers, 0.0) as reply:
            yield reply.status, _headers(reply), self._chunks(reply)

    def patiently(self, ask: Callable[[], T]) -> T:
        """`ask`, until it succeeds, fails for good, or patience is at its end."""
        begun_s: float | None = None
        while True:
            try:
                value = ask()
            except (TransportError, ApiError) as error:
                now_s = time.perf_counter()
                wait_s = self._wait_for(error)
                if wait_s is None or now_s + wait_s - (begun_s or now_s) > self.patience_s:
                    raise
                if begun_s is None:
                    begun_s = now_s
                    self.note(f"{error}; trying again for up to {seconds(self.patience_s)}.")
                time.sleep(wait_s)
            else:
                if begun_s is not None:
                    self.note(f"The server at {self.url} answers again.")
                return value

    def _wait_for(self, error: TransportError | ApiError) -> float | None:
        """Before the next try; None where none is worth it."""
        if isinstance(error, TransportError):
            return AGAIN_S if self._reached else None
        told = error.headers.get("retry-after", "")
        if error.status not in GONE:
            return None
        return min(float(told), AGAIN_MOST_S) if told.isdecimal() else AGAIN_S

    @contextmanager
    def _exchange(
        self, method: str, path: str, body: Body, headers: Mapping[str, str] | None, longer_s: float
    ) -> Iterator[HTTPResponse]:
        connect = HTTPSConnection if self._secure else HTTPConnection
        with closing(connect(self._host, self._port, timeout=self.timeout_s + longer_s)) as connection:
            try:
                reply = self._ask(connection, method, path, body, headers or {})
                self._reached = True
                if reply.status // 100 != 2:
                    raise refused(reply.status, self._read(reply, REPLY_BYTES), _headers(reply))
            except (OSError, HTTPException) as error:
                raise self._silent(error) from error
            yield reply

    def _ask(
        self, connection: HTTPConnection, method: str, path: str, body: Body, headers: Mapping[str, str]
    ) -> HTTPResponse:
        own = {"connection": "close", "accept": "application/json"}
        if self._key is not None:
            own["authorization"] = f"Bearer {self._key}"
        try:
            connection.request(
                method, self._prefix + path, body if isinstance(body, bytes) else body(), {**own, **headers}
            )
        except (BrokenPipeError, ConnectionResetError):
            # A server that refuses a body does not read it to its end; what it has to say may have come all the same.
            if connection.sock is None:
                raise
        return connection.getresponse()

    def _read(self, reply: HTTPResponse, most: int) -> bytes:
        try:
            content = reply.read(most + 1)
        except (OSError, HTTPException) as error:
            raise self._silent(error) from error
        if len(content) > most:
            raise TransportError(f"the server at {self.url} answers with more than {most} bytes")
        if reply.length:  # of a read with a bound, http.client does not mind
            raise TransportError(f"the server at {self.url} broke off with {reply.length} bytes to come")
        return content

    def _chunks(self, reply: HTTPResponse) -> Iterator[bytes]:
        while data := self._some(reply):
            yield data
        if reply.length:
            raise TransportError(f"the server at {self.url} broke off with {reply.length} bytes to come")

    def _some(self, reply: HTTPResponse) -> bytes:
        try:
            return reply.read1(CHUNK_BYTES)
        except (OSError, HTTPException) as error:
            raise self._silent(error) from error

    def _silent(self, error: Exception) -> TransportError:
        return TransportError(f"the server at {self.url} does not answer: {error or type(error).__name__}")


def _headers(reply: HTTPResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in reply.getheaders()}


class _Error(msgspec.Struct):
    message: str
    code: str | None = None
    param: str | None = None


class _Refusal(msgspec.Struct):
    error: _Error


def refused(status: int, content: bytes, headers: Mapping[str, str]) -> ApiError:
    """In the server's own words, where it has any."""
    try:
        error = msgspec.json.decode(content, type=_Refusal).error
    except msgspec.DecodeError:
        where = f" (to {headers['location']})" if 300 <= status < 400 and "location" in headers else ""
        return ApiError(status, f"the server answered with status {status}{where}", headers=headers)
    return ApiError(status, error.message, code=error.code, param=error.param, headers=headers)
