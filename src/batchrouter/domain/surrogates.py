"""Read JSON in which half of a surrogate pair stands alone, as in `"\\ud83d"`: an emoji that was cut in two.

JSON's grammar allows it (RFC 8259, section 8.2), and JavaScript and Python write it; msgspec refuses it. So what
msgspec refuses is read once more with each such escape exchanged for another one of the same length that the text
does not have, and what is found is changed back. Nothing else about the text becomes acceptable by it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# Every escape, so that an escaped backslash hides the letters after it; the group is half a pair, standing alone.
_escapes = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)
# U+E000 to U+F8FF mean nothing of their own; whether they are spelled like that in the text is seen beforehand.
_stand_in = re.compile(rb"\\u[ef][0-9a-f]{3}")
_STAND_INS = range(0xE000, 0xF900)


@dataclass(frozen=True, slots=True)
class Masked:
    """`data` is the text with stand-ins, as long as it was; `halves` the escapes by their stand-ins."""

    data: bytes
    halves: dict[bytes, bytes]

    def restore(self, part: bytes) -> bytes:
        """A part of `data` as it stood in the text."""
        return _stand_in.sub(lambda found: self.halves.get(found[0], found[0]), part)

    def touches(self, part: bytes) -> bool:
        """Whether half a pair stood in this part of `data`."""
        return any(each in self.halves for each in _stand_in.findall(part))


def mend(data: bytes) -> bytes:
    """JSON with U+FFFD in place of each half that stands alone, for who takes no such JSON."""
    if b"\\u" not in data:
        return data
    return _escapes.sub(lambda found: found[0] if found[1] is None else b"\\ufffd", data)


def mask(data: bytes, beside: bytes = b"") -> Masked | None:
    """None if no half stands alone in `data`, or more different ones than there are stand-ins.

    `beside` is what is to be put into the text before it is restored; it stays what it is.
    """
    halves: dict[bytes, bytes] = {}
    chosen: dict[bytes, bytes] = {}
    used = {*_stand_in.findall(data), *_stand_in.findall(beside)}
    free = (token for number in _STAND_INS if (token := b"\\u%04x" % number) not in used)

    def exchanged(found: re.Match[bytes]) -> bytes:
        if found[1] is None:
            return found[0]
        token = chosen.get(found[0])
        if token is None:
            token = chosen[found[0]] = next(free, b"")
            halves[token] = found[0]
        return token

    masked = _escapes.sub(exchanged, data)
    return Masked(masked, halves) if halves and b"" not in halves else None
