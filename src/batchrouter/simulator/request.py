"""A request as the decisions see it."""

from __future__ import annotations

from msgspec import Struct


class Request(Struct):
    """`key` is the body's `expected_key`, `query` what followed the `?`, `number` the one that the log will give it."""

    method: str
    path: str
    key: str
    body: bytes
    query: str = ""
    headers: list[tuple[bytes, bytes]] = []
    native: bool = False
    """A line that a batch runs; nobody waits for its reply."""
    number: int = 0

    def header(self, name: str) -> str | None:
        """The first header of this name (lower case)."""
        wanted = name.encode()
        return next((value.decode("latin-1") for name, value in self.headers if name.lower() == wanted), None)
