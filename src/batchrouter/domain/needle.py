"""Search for words in requests and answers, which are JSON: in the texts that they hold, not in the names of members.

Two steps, because lines are many and long. Raw bytes are looked through first, in C; only a line in which the words
stand somewhere is decoded and looked at text by text.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

_PLAIN = re.compile(r"[A-Za-z0-9 _.,:;!?()\[\]{}*+=#@%^|~$-]+")
"""Characters that every encoder of JSON writes as themselves. Others may stand escaped: `é` as `\\u00e9`."""
_SHORT = {'"': b'\\\\"', "\\": b"\\\\\\\\", "/": b"\\\\/", "\b": b"\\\\b", "\f": b"\\\\f", "\n": b"\\\\n",
          "\r": b"\\\\r", "\t": b"\\\\t"}  # fmt: skip


class Needle:
    """Words to look for, in whatever case."""

    def __init__(self, words: str) -> None:
        self._words = words.casefold()
        self._plain = words.lower().encode() if _PLAIN.fullmatch(words) else None
        self._pattern = None if self._plain is not None else re.compile(b"".join(map(_as_json, words)), re.IGNORECASE)

    def is_in(self, line: bytes, *members: str) -> bool:
        """Whether one of the texts in these members of a JSON object holds the words; no bytes hold none."""
        return self._may_be_in(line) and any(self._is_in_value(value) for value in _values(line, members))

    def _may_be_in(self, line: bytes) -> bool:
        if self._plain is not None:
            return self._plain in line.lower()
        assert self._pattern is not None
        return self._pattern.search(line) is not None

    def _is_in_value(self, value: Any) -> bool:
        rest = [value]
        while rest:
            each = rest.pop()
            if isinstance(each, str):
                if self._words in each.casefold():
                    return True
            elif isinstance(each, dict):
                rest.extend(each.values())
            elif isinstance(each, list):
                rest.extend(each)
        return False


def _as_json(char: str) -> bytes:
    """A pattern for all the ways in which one character may stand in JSON."""
    ways = []
    for each in sorted({char, char.lower(), char.upper()}):
        if each not in '"\\' and each >= " ":
            ways.append(re.escape(each.encode("utf-8", "surrogatepass")))
        if each in _SHORT:
            ways.append(_SHORT[each])
        units = each.encode("utf-16-be", "surrogatepass")
        ways.append(b"".join(b"\\\\u%02x%02x" % (units[at], units[at + 1]) for at in range(0, len(units), 2)))
    return b"(?:" + b"|".join(ways) + b")"


def _values(line: bytes, members: tuple[str, ...]) -> list[Any]:
    try:
        whole = msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError):
        try:
            whole = json.loads(line)  # which takes lone surrogates
        except (ValueError, RecursionError):
            return []
    return [whole.get(name) for name in members] if isinstance(whole, dict) else []
