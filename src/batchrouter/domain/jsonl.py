"""Cut a stream of bytes into the lines of a JSONL file.

Pure and push-driven: chunks go in, whole lines come out, and the lines are the same wherever the chunks were cut.
"""

from __future__ import annotations

import codecs

import msgspec

MAX_LINE_BYTES = 32 * 1024 * 1024

_BOM = codecs.BOM_UTF8
_CR = 0x0D


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
    """Lines of a byte stream, with at most one line of `max_line_bytes` and one chunk in memory.

    Lines end with LF or CRLF; the last one needs no end. A UTF-8 BOM at the start of the file belongs to no line.
    Lines that are empty or white space give nothing but keep their physical number. A line over the bound is
    dropped while it streams past; when it ends it is reported once, with `data` None and its true length.
    """

    def __init__(self, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self._max = max_line_bytes
        self._head: bytes | None = b""  # the file's first bytes, until there are enough to know a BOM
        self._number = 1  # of the line that is being read
        self._offset = 0  # of its first byte
        self._part = bytearray()  # what has come of it; not a list, which a trickle of single bytes would swell
        self._length = 0  # how much has come of it, dropped bytes included
        self._dropped = False
        self._last_byte = b""  # the newest byte of a dropped line: a CR there is part of the line end

    def feed(self, chunk: bytes) -> list[RawLine]:
        """The lines that this chunk completes, in file order."""
        if self._head is not None:
            chunk = self._head + chunk
            if len(chunk) < len(_BOM) and _BOM.startswith(chunk):
                self._head = chunk
                return []
            self._head = None
            if chunk.startswith(_BOM):
                chunk = chunk[len(_BOM) :]
                self._offset = len(_BOM)
        return self._cut(chunk)

    def close(self) -> list[RawLine]:
        """The last line if the file does not end with a newline: none or one. The reader is finished after it."""
        head, self._head = self._head, None
        if head:  # one or two bytes that might have become a BOM
            self._keep(head)
        last = self._end_line()
        return [] if last is None else [last]

    def _cut(self, chunk: bytes) -> list[RawLine]:
        find = chunk.find  # several times quicker than split, which does not use memchr
        end = find(b"\n")
        if end < 0:
            self._keep(chunk)
            return []
        self._keep(chunk[:end])
        first = self._end_line()
        lines = [] if first is None else [first]
        number, start, limit = self._number, end + 1, self._max
        base = self._offset - start  # of the chunk in the file
        while (end := find(b"\n", start)) >= 0:
            data = chunk[start : end - 1] if chunk[end - 1] == _CR else chunk[start:end]
            length = len(data)
            if length > limit:
                lines.append(RawLine(number, base + start, length, None))
            elif data and not data.isspace():
                lines.append(RawLine(number, base + start, length, data))
            number += 1
            start = end + 1
        self._number, self._offset = number, base + start
        self._keep(chunk[start:])
        return lines

    def _keep(self, part: bytes) -> None:
        """Add a part of the line that is being read, or only count it once the line is too long."""
        if not part:
            return
        self._length += len(part)
        if not self._dropped:
            # One byte more than the bound may still be the CR of the line end.
            if self._length <= self._max + 1:
                self._part += part
                return
            self._part = bytearray()
            self._dropped = True
        self._last_byte = part[-1:]

    def _end_line(self) -> RawLine | None:
        """The line that is being read, now that it is whole; None if it is blank. The next one begins."""
        number, offset, length = self._number, self._offset, self._length
        data: bytes | None = None
        if self._dropped:
            cr = self._last_byte == b"\r"
        else:
            cr = self._part.endswith(b"\r")
            data = bytes(memoryview(self._part)[: length - cr])
        self._number += 1
        self._offset += length + 1
        self._part = bytearray()
        self._length = 0
        self._dropped = False
        length -= cr
        if length > self._max:
            return RawLine(number, offset, length, None)
        return RawLine(number, offset, length, data) if data and not data.isspace() else None
