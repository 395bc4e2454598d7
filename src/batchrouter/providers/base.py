"""What the engine asks of a provider: bytes to send for a line, and the meaning of the bytes that come back.

Pure on both sides, so that a provider can be tested with nothing but bytes. One `Wire` serves one lane.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, Protocol

from batchrouter.domain.job import Result
from batchrouter.domain.origin import Origin
from batchrouter.domain.outcome import Finish
from batchrouter.domain.tokens import NO_TOKENS, Tokens


class Encoded(NamedTuple):
    """A line's body as the upstream takes it.

    `note` is what `decode` must know of the request, and nobody else looks at. `dropped` names the parameters that the
    upstream does not know and that were left out; people are told.
    """

    body: bytes
    note: object | None = None
    dropped: tuple[str, ...] = ()


class Reply(NamedTuple):
    """A reply as it will stand in the output.

    `body` is one line of valid JSON. `usable` false: the upstream's 2xx was no JSON, `body` then tells so in OpenAI's
    error shape. `code` is the machine-readable error code of a non-2xx, as the provider spells it. `cache_writes` are
    input tokens that were written to the provider's prompt cache; they are part of `tokens.input`.
    """

    body: bytes
    usable: bool = True
    tokens: Tokens = NO_TOKENS
    finish: Finish = Finish.NONE
    model: str | None = None
    code: str | None = None
    cache_writes: int = 0


_ReplyFields = tuple[bytes, bool, Tokens, Finish, str | None, str | None, int]
reply_of: Callable[[_ReplyFields], Reply] = partial(tuple.__new__, Reply)
"""A reply from all its fields, without a call into Python: made for every answer."""


class Wire(Protocol):
    """One provider's wire for one model."""

    @property
    def origin(self) -> Origin: ...

    def passes(self, endpoint: str) -> bool:
        """Whether bodies for that endpoint go out byte for byte, apart from the model's name."""
        ...

    def head(self, endpoint: str) -> bytes:
        """The request head for lines of that endpoint, up to and including `content-length: `; the caller adds the
        number and two line ends."""
        ...

    def encode(self, endpoint: str, body: bytes) -> Encoded:
        """The request body for a line's body. Deterministic. Raises `LineRefused` for what the upstream cannot do."""
        ...

    def encode_batch(self, endpoint: str, body: bytes) -> Encoded:
        """As `encode`, for a line of the provider's own batch API, where some parameters are not allowed."""
        ...

    def decode(self, endpoint: str, status: int, body: bytes, note: object | None = None) -> Reply:
        """The meaning of a whole reply; `note` is what `encode` gave for its request. Never raises."""
        ...


class JobLines(Protocol):
    """The form of lines in a provider's own batch API."""

    def write(self, key: str, endpoint: str, body: bytes) -> bytes:
        """A request as one line, without a line end; `body` is what `Wire.encode_batch` made of it."""
        ...

    def read(self, line: bytes) -> Result:
        """A line of the results. Never raises: what cannot be understood is UNFINISHED."""
        ...
