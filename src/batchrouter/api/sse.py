"""Server-sent events (HTML, section 9.2): frames, and the reply that streams them."""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import StreamingResponse

from batchrouter.api.replies import pieces_of

EVENTS = "text/event-stream"
COMMENT_S = 15.0
"""Nothing is silent for longer: proxies cut connections that are."""
RETRY = b"retry: 2000\n\n"
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def wants_events(request: Request) -> bool:
    return request.method != "HEAD" and EVENTS in request.headers.get("accept", "")


def frame(event: str, data: bytes, id: str | None = None) -> bytes:
    """`data` is JSON without a line break."""
    head = b"" if id is None else b"id: %b\n" % id.encode()
    return b"%bevent: %b\ndata: %b\n\n" % (head, event.encode(), data)


def comment(id: str | None = None) -> bytes:
    """Nothing happened. With `id`, a reader that reconnects goes on from there, though it was told of no event."""
    return b": waiting\n\n" if id is None else b": waiting\nid: %b\n\n" % id.encode()


def event_stream(frames: AsyncIterator[bytes]) -> StreamingResponse:
    """Each frame is made when the one before has been handed to the connection: a slow reader makes nobody else wait,
    and nothing grow."""

    async def pieces() -> AsyncIterator[bytes]:
        async for each in frames:
            for piece in pieces_of(each):
                yield piece

    return StreamingResponse(pieces(), 200, HEADERS, EVENTS)
