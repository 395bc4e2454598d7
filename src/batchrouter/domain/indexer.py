"""Make the line index while the input streams past: each line is parsed once."""

from __future__ import annotations

from batchrouter.domain.duplicates import MEMORY_LINES, Spill
from batchrouter.domain.jsonl import MAX_LINE_BYTES
from batchrouter.domain.line_index import IndexTotals


class Indexer:
    """Input bytes in, index bytes out: append what `feed` and `finish` return to one file, in order.

    Nothing in the input raises: what is wrong with a line stands in its record. Up to `memory_lines` ids are kept in
    memory; beyond, they go to `spill`.
    """

    def __init__(
        self, spill: Spill | None = None, *, max_line_bytes: int = MAX_LINE_BYTES, memory_lines: int = MEMORY_LINES
    ) -> None:
        raise NotImplementedError

    def feed(self, data: bytes) -> bytes:
        """Index bytes to append; may be empty. Chunks of 64 KiB to 1 MiB are quickest."""
        raise NotImplementedError

    def finish(self) -> bytes:
        """The last index bytes: the last line, the duplicates, the footer. Nothing may be fed after it."""
        raise NotImplementedError

    @property
    def totals(self) -> IndexTotals:
        """Sums over what was fed; duplicates count only after `finish`."""
        raise NotImplementedError
