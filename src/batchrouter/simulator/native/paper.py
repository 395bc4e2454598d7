"""The lines of result files, in the form that OpenAI gave them and others took over."""

from __future__ import annotations

import msgspec
import xxhash
from msgspec import Raw, Struct

from batchrouter.simulator.jobs import Phase

_json = msgspec.json.Encoder().encode
_raw = msgspec.json.Decoder(Raw)

UNRUN = {
    Phase.EXPIRED: (
        "batch_expired",
        "This request could not be executed before the completion window expired.",
    ),
    Phase.CANCELLED: ("batch_cancelled", "This request was not executed before the batch was cancelled."),
}


class Used(Struct):
    """Tokens of one answer, or of a whole job."""

    input: int = 0
    cached: int = 0
    output: int = 0
    reasoning: int = 0

    def add(self, other: Used) -> None:
        self.input += other.input
        self.cached += other.cached
        self.output += other.output
        self.reasoning += other.reasoning


class _Details(Struct, frozen=True):
    cached_tokens: int = 0
    reasoning_tokens: int = 0


class _Usage(Struct, frozen=True):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    prompt_tokens_details: _Details = _Details()
    completion_tokens_details: _Details = _Details()
    input_tokens_details: _Details = _Details()
    output_tokens_details: _Details = _Details()


class _Answered(Struct, frozen=True):
    usage: _Usage = _Usage()


_answered = msgspec.json.Decoder(_Answered)


def used_by(body: bytes) -> Used:
    """What the `usage` of an answer says, in either of OpenAI's two forms; nothing where it says nothing."""
    try:
        usage = _answered.decode(body).usage
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Used()
    return Used(
        input=usage.prompt_tokens + usage.input_tokens,
        cached=usage.prompt_tokens_details.cached_tokens + usage.input_tokens_details.cached_tokens,
        output=usage.completion_tokens + usage.output_tokens,
        reasoning=usage.completion_tokens_details.reasoning_tokens + usage.output_tokens_details.reasoning_tokens,
    )


def answered_line(job_id: str, index: int, custom_id: str, status: int, body: bytes) -> bytes:
    """A line that got a reply, or one with status 0 that got none. Ends in a line end, and holds no other."""
    response = {"status_code": status, "request_id": _name(job_id, index, "reply"), "body": _as_json(body)}
    return _json({"id": _line_id(job_id, index), "custom_id": custom_id, "response": response, "error": None}) + b"\n"


def unrun_line(job_id: str, index: int, custom_id: str, phase: Phase) -> bytes:
    """A line that the end of the job left undone."""
    code, message = UNRUN[phase]
    error = {"code": code, "message": message}
    return _json({"id": _line_id(job_id, index), "custom_id": custom_id, "response": None, "error": error}) + b"\n"


def _line_id(job_id: str, index: int) -> str:
    return f"batch_req_{_name(job_id, index, 'line')}"


def _name(job_id: str, index: int, what: str) -> str:
    return xxhash.xxh3_128_hexdigest(f"{what}/{job_id}/{index}".encode())


def _as_json(body: bytes) -> Raw | str | None:
    """A reply as a member of a line: JSON on one line, text as a string, nothing as null."""
    if not body:
        return None
    try:
        _raw.decode(body)
        text = body.decode("utf-8")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return body.decode("utf-8", "replace")
    return Raw(msgspec.json.format(body, indent=-1)) if "\n" in text or "\r" in text else Raw(body)
