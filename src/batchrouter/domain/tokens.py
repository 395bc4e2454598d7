"""Token counts of a line, a range or a batch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple


class Tokens(NamedTuple):
    """`cached` is part of `input`, `reasoning` is part of `output`, as in OpenAI's usage objects."""

    input: int = 0
    cached: int = 0
    output: int = 0
    reasoning: int = 0

    def plus(self, other: Tokens) -> Tokens:
        return Tokens(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


NO_TOKENS = Tokens()

tokens_of: Callable[[tuple[int, int, int, int]], Tokens] = partial(tuple.__new__, Tokens)
"""`Tokens._make` without its call into Python: done for every answer."""

BYTES_PER_TOKEN = 4


def estimated(body_bytes: int) -> int:
    """Tokens of a text request of that many bytes of JSON, before anybody has counted them. Text in the Latin alphabet
    has about four bytes a token; images and files inside a body make this far too much."""
    return -(-body_bytes // BYTES_PER_TOKEN)
