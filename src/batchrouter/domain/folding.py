"""Which bytes of which segments make one range's part of an output or error file, in input order.

The fold writes these bytes into a run once; before that a download makes them anew. Both ask here, so the bytes of a
file never depend on whether a range is folded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from batchrouter.domain.file import SegmentRef
from batchrouter.domain.outcome import RECORD, Outcome

Want = Literal["output", "error"]


class Piece(NamedTuple):
    """One JSONL line, newline included: `length` bytes from `offset` in the segment at place `segment` of the asked."""

    segment: int
    offset: int
    length: int


def select(first_line: int, lines: int, segments: Sequence[tuple[SegmentRef, bytes]], want: Want) -> list[Piece]:
    """The pieces of lines `first_line` to `first_line + lines - 1`, by line.

    `segments` pairs each segment with its packed records. Records of other ranges and records that were not admitted
    are passed over, so each line gives a piece to exactly one of the two files, once it is settled.
    """
    succeeded = int(Outcome.SUCCEEDED)
    wants_success = want == "output"
    end_line = first_line + lines
    found: list[tuple[int, Piece]] = []
    for place, (ref, records) in enumerate(segments):
        admitted = ref.admitted
        for number, record in enumerate(RECORD.iter_unpack(records)):
            line = record[0]
            if first_line <= line < end_line and (record[4] == succeeded) is wants_success and admitted >> number & 1:
                found.append((line, Piece(place, record[15], record[16])))
    found.sort()
    return [piece for _, piece in found]
