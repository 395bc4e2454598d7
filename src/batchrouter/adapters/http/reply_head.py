"""The headers of a reply, as far as a connection goes by them, and which of them it passes on."""

from __future__ import annotations

from batchrouter.ports.transport import HEARD

_OVERHEAD = 4  # ": " and CRLF
_FRAMING = frozenset({b"content-length", b"transfer-encoding"})
WATCHED = _FRAMING | {b"content-encoding", b"keep-alive"}
_SPELLINGS_MAX, _SPELLING_BYTES = 4096, 64


class Names(dict[bytes, bytes]):
    """Names of headers as upstreams spell them, in lower case; empty for those that nobody reads. So what a reply's
    many other headers cost is one look-up each."""

    def __missing__(self, spelt: bytes) -> bytes:
        name = spelt.lower()
        if name not in WATCHED and not name.startswith(HEARD):
            name = b""
        if len(self) < _SPELLINGS_MAX and len(spelt) <= _SPELLING_BYTES:
            self[spelt] = name
        return name


NAMES = Names()


def size(headers: list[tuple[bytes, bytes]]) -> int:
    return sum(len(name) + len(value) + _OVERHEAD for name, value in headers)


def is_interim(status: int, headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether a status below 200 stands before a reply. 101 changes the protocol, so nothing can follow it for us.

    A 1xx has no body whatever it declares, but the parser knows that only of three of them.
    """
    if status in (100, 102, 103):
        return True
    return 100 < status != 101 and not any(name.lower() in _FRAMING for name, _ in headers)


def announced_s(value: bytes) -> float:
    """The seconds of `Keep-Alive: timeout=5, max=100`; infinite when it names none."""
    for part in value.split(b","):
        name, _, seconds = part.strip().partition(b"=")
        if name == b"timeout" and seconds.isdigit():
            return float(seconds)
    return float("inf")
