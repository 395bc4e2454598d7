"""Replies: compact JSON, and errors in OpenAI's shape."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping

import msgspec
from starlette.responses import Response, StreamingResponse

from batchrouter.api.objects import ErrorDetail, ErrorObject
from batchrouter.errors import ApiError

encode = msgspec.json.Encoder().encode

PIECE_BYTES = 256 * 1024


def json_reply(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """No space after a colon: some clients search the text for `"status":"completed"`."""
    return Response(encode(value), status, headers, "application/json")


def pieces_of(body: bytes) -> Iterator[bytes]:
    """What is handed to a connection at a time: the layers below copy whatever they are given several times."""
    return (body[at : at + PIECE_BYTES] for at in range(0, len(body), PIECE_BYTES))


def long_reply(body: bytes, media_type: str, headers: Mapping[str, str] | None = None) -> Response:
    """A reply that may be as long as the longest line."""
    if len(body) <= PIECE_BYTES:
        return Response(body, 200, headers, media_type)

    async def pieces() -> AsyncIterator[bytes]:
        for piece in pieces_of(body):
            yield piece

    return StreamingResponse(pieces(), 200, {"Content-Length": str(len(body)), **(headers or {})}, media_type)


def error_body(error: ApiError) -> bytes:
    return encode(ErrorObject(ErrorDetail(error.message, error.type, error.param, error.code, error.status)))


def error_reply(error: ApiError) -> Response:
    return Response(error_body(error), error.status, error.headers, "application/json")


def server_fault() -> ApiError:
    return ApiError(
        500,
        "The server could not do this because of a fault of its own. Its log has the cause under this request's "
        "x-request-id.",
        type="server_error",
    )


def stopping(retry_after_s: int) -> ApiError:
    return ApiError(
        503,
        "The server is stopping or restarting. Try again soon.",
        type="server_error",
        code="server_stopping",
        headers={"Retry-After": str(retry_after_s), "Connection": "close"},
    )


def store_away() -> ApiError:
    return ApiError(
        503,
        "The server cannot reach its database at this moment. Nothing is lost; try again soon.",
        type="server_error",
        code="database_unavailable",
        headers={"Retry-After": "5"},
    )


def blobs_away() -> ApiError:
    return ApiError(
        503,
        "The server cannot reach the place where it keeps files at this moment. Nothing is lost; try again soon.",
        type="server_error",
        code="storage_unavailable",
        headers={"Retry-After": "5"},
    )


def records_gone() -> ApiError:
    return ApiError(
        409,
        "This batch ended under a former version, which did not keep what reading line by line needs. Download its "
        "output and error files instead.",
        code="results_unavailable",
        headers={"x-should-retry": "false"},
    )


def too_slow() -> ApiError:
    return ApiError(
        408,
        "The request came too slowly and was ended. Send it again over a faster connection.",
        code="request_timeout",
        headers={"Connection": "close"},
    )


def bad_request(message: str) -> ApiError:
    return ApiError(400, message, headers={"Connection": "close"})
