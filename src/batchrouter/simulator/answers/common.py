"""What the answers of all endpoints share: the key of a body, the measure of a text, the shape of an answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec
import xxhash

from batchrouter.errors import ApiError

CREATED = 1_700_000_000
"""Unix seconds that every answer names as its birth, so that equal bodies get equal answers."""

CHARS_PER_TOKEN = 4
ECHO_WORDS = 12
ECHO_CHARS = 400
REASONING_TOKENS = 32
MAX_CHOICES = 128

T = TypeVar("T")


class Answer(msgspec.Struct, frozen=True, gc=False):
    """An answer with what the log notes about it. `stream` says that `body` is a row of server-sent events."""

    status: int
    body: bytes
    model: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    stream: bool = False


class Part(msgspec.Struct, gc=False):
    """A piece of a message; only its text is looked at."""

    type: str = ""
    text: str | None = None


class Message(msgspec.Struct, gc=False):
    """A message of a chat or an item of a response's input."""

    role: str = ""
    content: str | list[Part] | None = None


def expected_key(body: bytes) -> str:
    """32 hex digits (xxh3-128) that stand for the bytes of a body, in the log and in its answer."""
    return xxhash.xxh3_128_hexdigest(body)


def decode(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Raises ApiError 400 when the body is no JSON or has members of the wrong type."""
    try:
        body.decode()  # msgspec does not look at the text of members that it skips
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise ApiError(400, f"The body does not fit this endpoint: {error}", code="invalid_type") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ApiError(400, "The body of the request is not valid JSON.", code="invalid_json") from error


def require(given: object, name: str) -> None:
    if not given:
        raise ApiError(400, f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter")


def choices(n: int | None) -> int:
    """How many answers are wanted. Raises ApiError 400 outside 1 to 128."""
    if n is None:
        return 1
    if not 1 <= n <= MAX_CHOICES:
        raise ApiError(400, f"'n' must be between 1 and {MAX_CHOICES}.", param="n", code="invalid_value")
    return n


def text_of(content: str | list[Part] | None) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    return " ".join([part.text for part in content if part.text])


def tokens(text: str) -> int:
    """The simulator's tokens: four characters each, the last one perhaps shorter."""
    return (len(text) + CHARS_PER_TOKEN - 1) // CHARS_PER_TOKEN


def count_tokens(inputs: Sequence[str | int | list[int]]) -> int:
    """Tokens of a list of texts, of token numbers, or of lists of token numbers."""
    total = 0
    for item in inputs:
        total += tokens(item) if isinstance(item, str) else 1 if isinstance(item, int) else len(item)
    return total


def echo(key: str, text: str) -> str:
    """What the simulated model says: the key, which proves whose answer this is, and the first words it was told."""
    return f"echo {key}: {' '.join(text[:ECHO_CHARS].split()[:ECHO_WORDS])}"


def cut(text: str, budget: int | None) -> tuple[str, bool]:
    """The text within a budget of tokens, and whether it had to be cut."""
    if budget is None or tokens(text) <= budget:
        return text, False
    return text[: max(budget, 0) * CHARS_PER_TOKEN], True


def prompt_usage(messages: list[Message]) -> tuple[int, int]:
    """Tokens of all messages, and of those the leading system part, which counts as read from a prompt cache."""
    total, cached, leading = 3, 0, True
    for message in messages:
        size = tokens(text_of(message.content))
        total += 4 + size
        leading = leading and message.role in ("system", "developer")
        if leading:
            cached += size
    return total, cached


def last_user_text(messages: list[Message]) -> str:
    for message in reversed(messages):
        if message.role == "user":
            return text_of(message.content)
    return ""
