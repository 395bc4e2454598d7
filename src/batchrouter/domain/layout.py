"""Where each line of a folded range lies in its runs: it follows from the records alone.

A run holds the lines of one file in input order (`domain.folding.select`), so a line begins where all lines of its
range before it, as far as they are in the same file, end.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from batchrouter.domain.outcome import RECORD, Outcome


class Place(NamedTuple):
    """`offset` is from where the range begins in its run; `output`: in the run of that file, else of the error file."""

    output: bool
    offset: int
    length: int


def layout(first_line: int, lines: int, segments: Iterable[tuple[int, bytes]]) -> dict[int, Place]:
    """By line, of lines `first_line` to `first_line + lines - 1`. `segments` pairs what was admitted with the packed
    records; it must be every segment that has a line of the range."""
    succeeded, end = int(Outcome.SUCCEEDED), first_line + lines
    found = sorted(
        (record[0], record[4] == succeeded, record[16])
        for admitted, records in segments
        for number, record in enumerate(RECORD.iter_unpack(records))
        if first_line <= record[0] < end and admitted >> number & 1
    )
    sizes = {True: 0, False: 0}
    places = {}
    for line, output, length in found:
        places[line] = Place(output, sizes[output], length)
        sizes[output] += length
    return places
