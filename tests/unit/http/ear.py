"""A sink that writes down what it hears and notices when the order of the port is broken."""

from __future__ import annotations

import asyncio

from batchrouter.errors import TransportError


class Ear:
    """Hears one reply. `faults` must stay empty: it names every breach of the sink's contract."""

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.chunks = 0
        self.end: str | TransportError | None = None
        self.faults: list[str] = []
        self.over = asyncio.Event()

    def on_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self._expect(not self.status and self.end is None, "a head out of order")
        self.status, self.headers = status, headers

    def on_chunk(self, data: bytes) -> None:
        self._expect(self.status > 0 and self.end is None and len(data) > 0, "a chunk out of order, or an empty one")
        self._expect(type(data) is bytes, "a chunk that is not the sink's own")
        self.body += data
        self.chunks += 1

    def on_end(self) -> None:
        self._expect(self.status > 0 and self.end is None, "an end out of order")
        self.end = "whole"
        self.over.set()

    def on_error(self, error: TransportError) -> None:
        self._expect(self.end is None, "an error after the end")
        self.end = error
        self.over.set()

    @property
    def whole(self) -> bool:
        return self.end == "whole"

    def _expect(self, truth: bool, fault: str) -> None:
        if not truth:
            self.faults.append(f"{self.name}: {fault}")
