"""An upstream that answers after 200 to 400 ms (mean 300) and notes how long each connection then lies idle.

usage: python -m benchmarks.gap_upstream PORT

A gap lasts from the moment when a whole reply was handed to the socket to the moment when the first byte of the next
request on that connection was read: it holds the client's whole turn and this process's own wake-up. `GET /report`
tells and forgets what was seen. It checks nothing: it is made for one well-behaved client.
"""

from __future__ import annotations

import asyncio
import gc
import json
import random
import sys
import time
from typing import cast

import uvloop

REPLY = json.dumps(
    {
        "id": "chatcmpl-gap",
        "object": "chat.completion",
        "created": 1763660000,
        "model": "fake-model",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "Nine eggs. #### 18"}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 120, "completion_tokens": 96, "total_tokens": 216},
    }
).encode()


def http(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


ANSWER = http(REPLY)


class Record:
    """Gaps in order of time, and when the newest reply left (unix seconds)."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self.gaps_s: list[float] = []
        self.requests = 0
        self.last_reply_unix_s = 0.0

    def report(self) -> dict[str, object]:
        """Percentiles over the middle 80 per cent of the gaps: ramp and tail are not steady work."""
        count = len(self.gaps_s)
        middle = sorted(self.gaps_s[count // 10 : count - count // 10])
        seen: dict[str, object] = {"requests": self.requests, "last_reply_unix_s": self.last_reply_unix_s}
        if middle:
            seen |= {"gaps": len(middle), "p50_ms": middle[len(middle) // 2] * 1e3}
            seen |= {"p99_ms": middle[int(len(middle) * 0.99)] * 1e3, "max_ms": middle[-1] * 1e3}
        self.forget()
        return seen


class Connection(asyncio.Protocol):
    def __init__(self, record: Record, loop: asyncio.AbstractEventLoop) -> None:
        self.record, self.loop = record, loop
        self.head = b""
        self.missing = -1  # bytes of the body still to come; -1: inside the head
        self.answered_s: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's own class does not inherit it

    def data_received(self, data: bytes) -> None:
        if self.answered_s is not None:
            self.record.gaps_s.append(time.perf_counter() - self.answered_s)
            self.answered_s = None
        if self.missing < 0:
            self.head += data
            end = self.head.find(b"\r\n\r\n")
            if end < 0:
                return
            data = self.head[end + 4 :]
            self.missing = length_of(self.head[:end])
        self.missing -= len(data)
        if self.missing <= 0:
            self.whole()

    def whole(self) -> None:
        path = self.head.split(b" ", 2)[1]
        self.head, self.missing = b"", -1
        if path == b"/report":
            self.transport.write(http(json.dumps(self.record.report()).encode()))
            self.transport.close()
        else:
            self.record.requests += 1
            self.loop.call_later(random.uniform(0.2, 0.4), self.answer)

    def answer(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(ANSWER)
            self.answered_s = time.perf_counter()
            self.record.last_reply_unix_s = time.time()


def length_of(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


async def serve(port: int) -> None:
    loop, record = asyncio.get_running_loop(), Record()
    server = await loop.create_server(lambda: Connection(record, loop), "127.0.0.1", port, backlog=4096)
    gc.disable()  # a collection would be seen as a gap
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
