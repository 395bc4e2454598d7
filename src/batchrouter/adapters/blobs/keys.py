"""What a blob key may look like, wherever blobs are kept."""

from __future__ import annotations

import re

from batchrouter.errors import BlobError

# ASCII words, so that a key is the same name on every file system and in every bucket. 200 characters a word: a file
# name holds 255 bytes, and an unfinished write adds its own mark.
_KEY = re.compile(r"[A-Za-z0-9._-]{1,200}(/[A-Za-z0-9._-]{1,200})*")


def is_key(text: str) -> bool:
    return _KEY.fullmatch(text) is not None and {".", ".."}.isdisjoint(text.split("/"))


def checked(key: str) -> str:
    """The key itself. Raises `BlobError` for one that could lead out of its store."""
    if not is_key(key):
        raise BlobError(f"{key!r} is no blob key: it must be words of [A-Za-z0-9._-], separated by '/'")
    return key


def check_span(offset: int, length: int) -> None:
    if offset < 0 or length < 0:
        raise ValueError(f"a span begins at 0 or later and is not negative; this one is ({offset}, {length})")
