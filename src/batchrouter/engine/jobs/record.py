"""How a line that ended in a job is written down: its JSONL text, and its record up to where the text will stand."""

from __future__ import annotations

from typing import NamedTuple

from batchrouter.domain.checked.judge import Fault
from batchrouter.domain.outcome import Finish, Flag, Outcome, error_mark
from batchrouter.domain.output_line import extension, response_line, with_fault
from batchrouter.domain.tokens import NO_TOKENS, Tokens
from batchrouter.engine.line_end import Fields, refusal_body, sound_id
from batchrouter.errors import LineRefused
from batchrouter.providers.base import Reply

_U32 = 0xFFFFFFFF


class Home(NamedTuple):
    """Where a line counts. `prefix` is what the ids of its batch's lines share."""

    prefix: bytes
    number: int
    range_no: int
    shard_id: int
    epoch: int
    lane_id: int


class Answer(NamedTuple):
    """`latency_ms` since its job was made; `dropped`: parameters that were left out of its request; `fault`: why it is
    not what its request's schema asks for."""

    status: int
    reply: Reply
    request_id: str | None
    latency_ms: int
    dropped: tuple[str, ...]
    fault: Fault | None = None


def of_answer(home: Home, outcome: Outcome, custom_id: bytes, answer: Answer) -> tuple[bytes, Fields]:
    """The line ends with what the upstream answered."""
    status, reply, request_id, latency_ms, dropped, fault = answer
    told, flags = extension(dropped), error_mark(reply.code)
    if fault is not None:
        told, flags = with_fault(told, *fault), int(Flag.INVALID_OUTPUT)
    sent_id = None if request_id is None else sound_id(request_id.encode(errors="replace"))
    text = response_line(home.prefix, home.number, 1, custom_id, status, reply.body, sent_id, told)
    return text, _fields(home, outcome, status, 1, flags, latency_ms, reply.finish, reply.tokens)


def of_refusal(home: Home, custom_id: bytes, error: LineRefused) -> tuple[bytes, Fields]:
    """The line ends by our own word, in the form in which its upstream would have refused it."""
    text = response_line(home.prefix, home.number, 0, custom_id, error.status, refusal_body(error), None)
    return text, _fields(home, Outcome.FAILED, error.status, 0, error_mark(error.code), 0, Finish.NONE, NO_TOKENS)


def _fields(
    home: Home,
    outcome: Outcome,
    status: int,
    attempts: int,
    flags: int,
    latency_ms: int,
    finish: Finish,
    tokens: Tokens,
) -> Fields:
    return (
        home.number,
        home.range_no,
        home.shard_id,
        home.epoch,
        outcome,
        finish,
        status,
        attempts,
        flags,
        min(max(0, latency_ms), _U32),
        home.lane_id,
        *tokens,
    )
