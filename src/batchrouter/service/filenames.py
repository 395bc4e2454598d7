"""Make a filename that somebody sent safe to store, to show and to save under."""

from __future__ import annotations

import unicodedata

MAX_BYTES = 255
NAMELESS = "upload"


def safe_filename(name: str | None) -> str:
    """The last part of the path without control and direction characters, at most 255 bytes of UTF-8."""
    if name is None:
        return NAMELESS
    last = name.replace("\\", "/").rpartition("/")[2]
    # Cc, Cf, Cs, Zl, Zp: controls, direction overrides, lone surrogates, line separators.
    kept = "".join(char for char in last if unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Zl", "Zp"))
    cut = kept.encode()[:MAX_BYTES].decode(errors="ignore").strip()
    return NAMELESS if cut in ("", ".", "..") else cut
