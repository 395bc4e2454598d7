"""Requests that no decent client would send, byte by byte."""

from __future__ import annotations

import json
import socket
from contextlib import closing
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from tests.serving import KEY, ServerProcess


class Raw(NamedTuple):
    """A reply as it came. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> dict[str, Any]:
        """Its error object; fails unless the reply has the shape of all errors."""
        assert self.status >= 400, self
        assert self.headers["content-type"] == "application/json"
        assert self.headers["x-request-id"].startswith("req_")
        body = json.loads(self.body)
        assert body.keys() == {"error"}
        error: dict[str, Any] = body["error"]
        assert error.keys() == {"message", "type", "param", "code", "status"}
        assert error["status"] == self.status
        assert error["type"] == ("invalid_request_error" if self.status < 500 else "server_error")
        assert isinstance(error["message"], str)
        assert error["message"]
        return error


def connect(server: ServerProcess) -> socket.socket:
    at = urlsplit(server.url)
    assert at.hostname is not None
    return socket.create_connection((at.hostname, at.port), timeout=20)


def head(method: str, target: str, key: str | None = KEY, **headers: str) -> bytes:
    """A request's head. Underscores in names of headers stand for dashes; text is sent as Latin-1."""
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost"]
    if key is not None:
        lines.append(f"Authorization: Bearer {key}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def send(server: ServerProcess, request: bytes) -> Raw:
    """One request on a connection of its own, and its reply."""
    with closing(connect(server)) as connection:
        connection.sendall(request)
        return read_reply(connection)


def ask(server: ServerProcess, method: str, target: str, body: bytes = b"", **headers: str) -> Raw:
    if body or method == "POST":
        headers["content_length"] = str(len(body))
    return send(server, head(method, target, **headers) + body)


def read_reply(connection: socket.socket) -> Raw:
    """The next reply, which must have a length."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        assert piece, f"the server closed without a reply, after {data!r}"
        data += piece
    top, _, body = data.partition(b"\r\n\r\n")
    first, *rest = top.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
    while len(body) < int(headers["content-length"]):
        piece = connection.recv(65536)
        assert piece, "the server closed inside a reply"
        body += piece
    return Raw(int(first.split()[1]), headers, body)
