"""What an OpenAI-shaped host answers, good or bad.

Facts: usage members and finish reasons as in OpenAI's openapi.yaml 2.3.0 (chat.completion, text_completion, list of
embeddings, response, images response) and openai 3.52.0 (`cache_write_tokens`); errors as `{"error": {...}}`, which
Gemini's compatible face wraps in an array. DeepSeek's "Context Caching" tells cached tokens as
`prompt_cache_hit_tokens`, Moonshot's and Together's usage as `cached_tokens` beside the other counts.
"""

from __future__ import annotations

import msgspec

from batchrouter.domain.outcome import Finish
from batchrouter.domain.tokens import NO_TOKENS, Tokens, tokens_of
from batchrouter.providers.base import Reply, reply_of
from batchrouter.providers.reply import error_body, is_json, one_line

FINISHES = {
    "stop": Finish.STOP,
    "completed": Finish.STOP,
    "length": Finish.LENGTH,
    "max_output_tokens": Finish.LENGTH,
    "tool_calls": Finish.TOOL_CALLS,
    "function_call": Finish.TOOL_CALLS,
    "content_filter": Finish.CONTENT_FILTER,
}


class _Details(msgspec.Struct, gc=False):
    cached_tokens: int | None = 0
    cache_write_tokens: int | None = 0
    reasoning_tokens: int | None = 0


class _Usage(msgspec.Struct, gc=False):
    prompt_tokens: int | None = 0
    completion_tokens: int | None = 0
    input_tokens: int | None = 0
    output_tokens: int | None = 0
    total_tokens: int | None = 0
    cached_tokens: int | None = 0
    prompt_cache_hit_tokens: int | None = 0
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None
    input_tokens_details: _Details | None = None
    output_tokens_details: _Details | None = None


class _Choice(msgspec.Struct, gc=False):
    finish_reason: str | None = None


class _Incomplete(msgspec.Struct, gc=False):
    reason: str | None = None


_NONE = msgspec.Raw(b"null")


class _Answer(msgspec.Struct, gc=False):
    model: str | None = None
    usage: _Usage | None = None
    choices: list[_Choice] | None = None
    status: str | None = None
    incomplete_details: _Incomplete | None = None
    error: msgspec.Raw = _NONE

    @property
    def is_error(self) -> bool:
        """An error in the dress of an answer: OpenRouter tells so of hosts that fail after it has begun to reply. A
        response that failed has a status of its own, and is an answer."""
        return self.error != _NONE and self.choices is None and self.usage is None and self.status is None


class _ErrorObject(msgspec.Struct):
    code: str | int | None = None
    type: str | None = None
    status: str | int | None = None


class _ErrorBody(msgspec.Struct):
    error: _ErrorObject


_ANSWER = msgspec.json.Decoder(_Answer)
_ERROR = msgspec.json.Decoder(_ErrorBody | list[_ErrorBody])
_NO_DETAILS = _Details()
_OTHER, _NONE_TOLD = Finish.OTHER, Finish.NONE  # a member of an enum costs a search each time
_COUNT_MAX = 0xFFFFFFFF
"""A record keeps 32 bits; nobody counts more tokens, and a faulty upstream must not stop a flush."""


def decode_answer(body: bytes, *, thinking_apart: bool = False) -> Reply:
    """Of a 2xx. `thinking_apart`: the host counts thinking in the total alone, not in what the answer has."""
    try:
        answer = _ANSWER.decode(body)
    except (msgspec.DecodeError, RecursionError):
        # Either it is no JSON, or JSON of a shape that tells no usage.
        line = one_line(body) if is_json(body) else None
        if line is None:
            return Reply(
                error_body("The upstream answered with something that is not JSON.", "server_error", "invalid_reply"),
                usable=False,
            )
        return Reply(line)
    line = one_line(body)
    if line is None:
        return Reply(
            error_body("The upstream answered with bytes that are not UTF-8.", "server_error", "invalid_reply"),
            usable=False,
        )
    if answer.error is not _NONE and answer.is_error:
        return decode_error(0, body)._replace(usable=False)
    if answer.usage is None:
        return Reply(line, True, NO_TOKENS, _finish(answer), answer.model)
    tokens, written = _tokens(answer.usage, thinking_apart)
    return reply_of((line, True, tokens, _finish(answer), answer.model, None, written))


def _tokens(usage: _Usage, thinking_apart: bool) -> tuple[Tokens, int]:
    """The counts, and how many of the input were written to a cache."""
    before = usage.prompt_tokens_details or usage.input_tokens_details or _NO_DETAILS
    after = usage.completion_tokens_details or usage.output_tokens_details or _NO_DETAILS
    read = usage.prompt_tokens or usage.input_tokens or 0
    said = usage.completion_tokens or usage.output_tokens or 0
    if thinking_apart:
        said = max(said, (usage.total_tokens or 0) - read)
    cached = before.cached_tokens or usage.cached_tokens or usage.prompt_cache_hit_tokens or 0
    thought, written = after.reasoning_tokens or 0, before.cache_write_tokens or 0
    # Below zero if any of them is, and above a mask of all ones only if any of them is.
    if not 0 <= read | cached | said | thought | written <= _COUNT_MAX:
        read, cached, said, thought, written = (
            min(max(count, 0), _COUNT_MAX) for count in (read, cached, said, thought, written)
        )
    return tokens_of((read, cached, said, thought)), written


def _finish(answer: _Answer) -> Finish:
    if answer.choices:
        word = answer.choices[0].finish_reason
    elif answer.incomplete_details is not None:
        word = answer.incomplete_details.reason
    else:
        word = answer.status
    if word is None:
        return _NONE_TOLD
    return FINISHES.get(word, _OTHER)


def decode_error(status: int, body: bytes) -> Reply:
    """Of anything else."""
    code: str | None = None
    try:
        parsed = _ERROR.decode(body)
        error = (parsed[0] if isinstance(parsed, list) else parsed).error
        # A code that only repeats the status tells less than the type (vLLM, Gemini).
        found = error.type if error.code is None or (error.type and str(error.code) == str(status)) else error.code
        code = str(found) if found is not None else None
    except (msgspec.DecodeError, RecursionError, IndexError):
        pass
    line = one_line(body) if body and is_json(body) else None
    if line is None:
        line = error_body(f"The upstream answered with status {status} and no JSON.", "server_error", None)
    return Reply(line, code=code)
