"""Byte ranges (RFC 9110, section 14), one at a time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

_ONE_RANGE = re.compile(r"\s*bytes\s*=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*", re.ASCII | re.IGNORECASE)


class Span(NamedTuple):
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Unsatisfiable:
    """The range lies outside the file: 416."""


def wanted_span(header: str | None, size: int) -> Span | Unsatisfiable | None:
    """What a `Range` header asks of a file of `size` bytes.

    None: the whole file. That is also the answer to several ranges at once, to other units and to nonsense, which the
    RFC lets a server ignore.
    """
    match = None if header is None else _ONE_RANGE.fullmatch(header)
    if match is None:
        return None
    first, last = match.groups()
    if not first and not last:
        return None
    if not first:
        length = min(int(last), size)
        return Span(size - length, length) if length else Unsatisfiable()
    start = int(first)
    if last and int(last) < start:
        return None
    if start >= size:
        return Unsatisfiable()
    stop = min(int(last), size - 1) if last else size - 1
    return Span(start, stop - start + 1)
