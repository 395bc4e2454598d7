"""Which bytes of which segments make one range's part of an output or error file, in input order.

The fold writes these bytes into a run once; before that a download makes them anew. Both ask here, so the bytes of a
file never depend on whether a range is folded.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import compress
from typing import Literal, NamedTuple

from batchrouter.domain import bitmap
from batchrouter.domain.file import SegmentRef
from batchrouter.domain.outcome import RECORD, Outcome

Want = Literal["output", "error"]


class Piece(NamedTuple):
    """One JSONL line, newline included: `length` bytes from `offset` in the segment at place `segment` of the asked."""

    segment: int
    offset: int
    length: int


# Piece._make without its call into Python.
_piece_of: Callable[[tuple[int, int, int]], Piece] = partial(tuple.__new__, Piece)

_PLACED = struct.Struct("<I4x8x4xBx2x2x2x4x4x4x4x4x4xII")
"""Of a record: line, outcome, offset, length. The other thirteen would cost as much again."""
assert _PLACED.size == RECORD.size


class Pieces:
    """What segments have of lines `first_line` to `end_line - 1`, for both files. `add` looks at each record once;
    after that, each range costs no more than its own lines."""

    def __init__(self, first_line: int, end_line: int) -> None:
        self._first_line = first_line
        self._end_line = end_line
        self._of_line: dict[Want, dict[int, Piece]] = {"output": {}, "error": {}}

    def add(self, place: int, ref: SegmentRef, records: bytes) -> None:
        """`place` is what the segment will be known by; `records` are its packed ones. Those of other lines and those
        that were not admitted are passed over, so each line gives a piece to exactly one of the two files, once it is
        settled."""
        first_line, end_line, succeeded = self._first_line, self._end_line, int(Outcome.SUCCEEDED)
        output, error = self._of_line["output"], self._of_line["error"]
        found: Iterator[tuple[int, int, int, int]] = _PLACED.iter_unpack(records)
        count = len(records) // RECORD.size
        if ref.admitted != bitmap.full(count):
            found = compress(found, [ref.admitted >> number & 1 for number in range(count)])
        for line, outcome, offset, length in found:
            if first_line <= line < end_line:
                (output if outcome == succeeded else error)[line] = _piece_of((place, offset, length))

    def of(self, first_line: int, lines: int, want: Want) -> list[Piece]:
        """The pieces of lines `first_line` to `first_line + lines - 1`, by line."""
        pieces = self._of_line[want]
        return [pieces[line] for line in range(first_line, first_line + lines) if line in pieces] if pieces else []


def select(first_line: int, lines: int, segments: Sequence[tuple[SegmentRef, bytes]], want: Want) -> list[Piece]:
    """The pieces of one range in one file, by line. `segments` pairs each segment with its packed records."""
    pieces = Pieces(first_line, first_line + lines)
    for place, (ref, records) in enumerate(segments):
        pieces.add(place, ref, records)
    return pieces.of(first_line, lines, want)
