"""A set of a whole batch's lines, of which there may be millions: one bit each, whatever is in it."""

from __future__ import annotations


class LineSet:
    def __init__(self, lines: int) -> None:
        self._bits = bytearray((lines + 7) // 8)
        self.count = 0

    def add(self, line: int) -> None:
        if line not in self:
            self._bits[line >> 3] |= 1 << (line & 7)
            self.count += 1

    def __contains__(self, line: int) -> bool:
        return bool(self._bits[line >> 3] >> (line & 7) & 1)
