"""What the engine asks of a provider: bytes to send for a line, and the meaning of the bytes that come back.

Pure on both sides, so that a provider can be tested with nothing but bytes. One `Wire` serves one lane.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from batchrouter.domain.origin import Origin
from batchrouter.domain.outcome import Finish
from batchrouter.domain.tokens import NO_TOKENS, Tokens


class Reply(NamedTuple):
    """A reply as it will stand in the output.

    `body` is one line of valid JSON. `usable` false: the upstream's 2xx was no JSON, `body` then tells so in OpenAI's
    error shape. `code` is the machine-readable error code of a non-2xx, as the provider spells it.
    """

    body: bytes
    usable: bool = True
    tokens: Tokens = NO_TOKENS
    finish: Finish = Finish.NONE
    model: str | None = None
    code: str | None = None


class Wire(Protocol):
    """One provider's wire for one model."""

    @property
    def origin(self) -> Origin: ...

    def head(self, endpoint: str) -> bytes:
        """The request head for lines of that endpoint, up to and including `content-length: `; the caller adds the
        number and two line ends."""
        ...

    def encode(self, body: bytes) -> bytes:
        """The request body for a line's body. `body` itself where nothing differs."""
        ...

    def decode(self, status: int, body: bytes) -> Reply:
        """The meaning of a whole reply. Never raises."""
        ...
