"""A reply before it meets the socket, and its head as bytes."""

from __future__ import annotations

from http import HTTPStatus

from msgspec import Struct

from batchrouter.simulator.spool import Part

REASONS = {status.value: status.phrase for status in HTTPStatus}
BODILESS = (204, 304)


class Reply(Struct):
    """What goes out, when (`delay_s` from arrival) and how (`fault`; empty: as the rules of HTTP want it).

    `file` is a body that may be too large for memory; then `body` is empty. Of the prompt's tokens `cached_tokens` were
    read from a cache that limits of input do not count.
    """

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: list[tuple[str, str]] = []
    delay_s: float = 0.0
    fault: str = ""
    over_s: float = 0.0
    model: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    file: Part | None = None

    def load(self) -> None:
        """Take the file into memory, for those who must see the whole body."""
        if self.file is not None:
            self.body, self.file = self.file.read(), None


def head_of(reply: Reply, number: int, framing: bytes, keep_alive: bool) -> bytes:
    """Status line and headers. `framing` is the header line that tells where the body ends, or nothing.

    `x-request-id` ends in the number of the request in the log.
    """
    closing = b"" if keep_alive else b"connection: close\r\n"
    if reply.status == 200 and not reply.headers:
        return b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\nx-request-id: req_%024d\r\n%b%b\r\n" % (
            reply.content_type.encode(),
            number,
            closing,
            framing,
        )
    members = {"content-type": reply.content_type, "x-request-id": f"req_{number:024d}"}
    members.update((name.lower(), value) for name, value in reply.headers)
    lines = "".join([f"{name}: {value}\r\n" for name, value in members.items()])
    start = f"HTTP/1.1 {reply.status} {REASONS.get(reply.status, 'Scripted')}\r\n{lines}"
    return start.encode("latin-1") + closing + framing + b"\r\n"


def length_line(body: bytes) -> bytes:
    return content_length(len(body))


def content_length(length: int) -> bytes:
    return b"content-length: %d\r\n" % length


def whole(reply: Reply, number: int, keep_alive: bool) -> bytes:
    """Head and body in one, as a well-behaved server sends them."""
    if reply.status in BODILESS:
        return head_of(reply, number, b"", keep_alive)
    return head_of(reply, number, length_line(reply.body), keep_alive) + reply.body
