"""A small HTTP client for servers on this machine: plain calls, no proxy, no dependency."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

import msgspec

from batchrouter.errors import ApiError, TransportError

TIMEOUT_S = 60.0


class Client:
    """One connection per call. Raises `ApiError` for an answer that is not 200, `TransportError` for none."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url
        self._key = key

    def json(self, method: str, path: str, body: object = None) -> Any:
        data = b"" if body is None else msgspec.json.encode(body)
        headers = {} if body is None else {"content-type": "application/json"}
        return msgspec.json.decode(self.call(method, path, data, headers))

    def call(
        self, method: str, path: str, body: bytes | Iterable[bytes] = b"", headers: Mapping[str, str] | None = None
    ) -> bytes:
        connection = HTTPConnection(urlsplit(self._url).netloc, timeout=TIMEOUT_S)
        try:
            connection.request(
                method, path, body, {"authorization": f"Bearer {self._key}", "connection": "close", **(headers or {})}
            )
            reply = connection.getresponse()
            content = reply.read()
        except (OSError, HTTPException) as error:
            raise TransportError(
                f"the server at {self._url} does not answer: {error or type(error).__name__}"
            ) from error
        finally:
            connection.close()
        if reply.status != 200:
            raise _refused(reply.status, content)
        return content


class _Error(msgspec.Struct):
    message: str
    code: str | None = None


class _Refusal(msgspec.Struct):
    error: _Error


def _refused(status: int, content: bytes) -> ApiError:
    try:
        error = msgspec.json.decode(content, type=_Refusal).error
    except msgspec.DecodeError:
        return ApiError(status, f"the server answered with status {status}")
    return ApiError(status, error.message, code=error.code)
