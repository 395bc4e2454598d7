"""Cut a stream of bytes into the lines of a JSONL file.

Pure and push-driven: chunks go in, whole lines come out, and the lines are the same wherever the chunks were cut.
"""

from __future__ import annotations

import msgspec

MAX_LINE_BYTES = 32 * 1024 * 1024


class RawLine(msgspec.Struct, gc=False):
    """One line that is not blank.

    `number` is the physical line number, from 1; `offset` is where the line's first byte stands in the file and
    `length` its bytes without the line end. `data` is None when the line was longer than the reader's bound.
    """

    number: int
    offset: int
    length: int
    data: bytes | None


class LineReader:
    """Lines of a byte stream, with at most `max_line_bytes` and one chunk in memory.

    Lines end with LF or CRLF; the last one needs no end. A UTF-8 BOM at the start of the file belongs to no line.
    Lines that are empty or white space give nothing but keep their physical number. A line over the bound is
    dropped while it streams past; when it ends it is reported once, with `data` None and its true length.
    """

    def __init__(self, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        raise NotImplementedError

    def feed(self, chunk: bytes) -> list[RawLine]:
        """The lines that this chunk completes, in file order."""
        raise NotImplementedError

    def close(self) -> list[RawLine]:
        """The last line if the file does not end with a newline: none or one. The reader is finished after it."""
        raise NotImplementedError
