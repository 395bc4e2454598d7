"""What a prompt costs: its tokens, and which of them a prompt cache has seen before.

A breakpoint's prefix is written the first time that it is met and read ever after, whoever asks and however late: so a
test knows beforehand what it will be told. The least length that a real cache asks for is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
import xxhash

from batchrouter.simulator.answers.common import tokens
from batchrouter.simulator.anthropic.checks import marks
from batchrouter.simulator.anthropic.wire import (
    Block,
    CacheControl,
    Document,
    Image,
    MessagesRequest,
    PlainText,
    RedactedThinking,
    Text,
    Thinking,
    Tool,
    ToolResult,
)

IMAGE_TOKENS = 1500
DOCUMENT_TOKENS = 3000
TURN_TOKENS = 4
BASE_TOKENS = 3
PREFIXES_MAX = 100_000

_json = msgspec.json.Encoder(order="deterministic").encode


class Prompt(NamedTuple):
    """Tokens of a prompt by what they cost: `fresh`, `read` from the cache, `written` to it for 5 minutes or 1 hour."""

    fresh: int
    read: int = 0
    written_5m: int = 0
    written_1h: int = 0

    @property
    def written(self) -> int:
        return self.written_5m + self.written_1h

    @property
    def total(self) -> int:
        return self.fresh + self.read + self.written


class _Piece(NamedTuple):
    tokens: int
    content: Any
    mark: CacheControl | None


class PromptCache:
    """The prefixes that were written so far, the oldest forgotten beyond `PREFIXES_MAX`."""

    def __init__(self) -> None:
        self._seen: dict[bytes, None] = {}

    def meter(self, request: MessagesRequest, tools: list[Tool | dict[str, Any]]) -> Prompt:
        """Count a prompt, and remember its prefixes."""
        pieces = list(_pieces(request, tools))
        if request.cache_control is not None and pieces:
            pieces[-1] = pieces[-1]._replace(mark=request.cache_control)
        if next(marks(request, tools), None) is None:
            return Prompt(BASE_TOKENS + sum(piece.tokens for piece in pieces))
        return self._metered(request.model, pieces)

    def _metered(self, model: str, pieces: list[_Piece]) -> Prompt:
        """The longest known prefix is read; from there each breakpoint's part is written; the rest is fresh."""
        digest = xxhash.xxh3_128(model.encode())
        counted, read, written, since = 0, 0, {"5m": 0, "1h": 0}, 0
        for piece in pieces:
            digest.update(_json(piece.content))
            counted += piece.tokens
            if piece.mark is None:
                continue
            prefix = digest.digest()
            if prefix in self._seen:
                read, written = counted, {"5m": 0, "1h": 0}
            else:
                written[piece.mark.ttl] += counted - since
                self._remember(prefix)
            since = counted
        fresh = BASE_TOKENS + counted - since
        return Prompt(fresh, read, written["5m"], written["1h"])

    def _remember(self, prefix: bytes) -> None:
        if len(self._seen) >= PREFIXES_MAX:
            del self._seen[next(iter(self._seen))]
        self._seen[prefix] = None


def _pieces(request: MessagesRequest, tools: list[Tool | dict[str, Any]]) -> Iterator[_Piece]:
    """The prompt in the order in which it is cached: tools, system, messages."""
    for tool in tools:
        if isinstance(tool, Tool):
            content: Any = msgspec.structs.replace(tool, cache_control=None)
            mark = tool.cache_control
        else:
            content = {name: value for name, value in tool.items() if name != "cache_control"}
            mark = CacheControl() if tool.get("cache_control") else None
        yield _Piece(tokens(_json(content).decode()), content, mark)
    for block in [Text(request.system)] if isinstance(request.system, str) else request.system:
        yield _piece(block, "system", 0)
    for turn in request.messages:
        overhead = TURN_TOKENS
        for inner in [Text(turn.content)] if isinstance(turn.content, str) else turn.content:
            yield _piece(inner, turn.role, overhead)
            overhead = 0


def _piece(block: Block, role: str, overhead: int) -> _Piece:
    if isinstance(block, Thinking | RedactedThinking):
        return _Piece(overhead + tokens_of(block), (role, block), None)
    bare = msgspec.structs.replace(block, cache_control=None)
    return _Piece(overhead + tokens_of(block), (role, bare), block.cache_control)


def tokens_of(block: Block) -> int:
    match block:
        case Text(text=text):
            return tokens(text)
        case Thinking(thinking=text):
            return tokens(text)
        case RedactedThinking():
            return 0
        case Image():
            return IMAGE_TOKENS
        case Document(source=PlainText(data=data)):
            return tokens(data)
        case Document():
            return DOCUMENT_TOKENS
        case ToolResult(content=content):
            return tokens(content) if isinstance(content, str) else sum(tokens_of(inner) for inner in content)
        case _:
            return tokens(_json(block).decode())
