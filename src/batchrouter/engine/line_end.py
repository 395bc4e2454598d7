"""How a settled line is written down: its JSONL text, and its record up to where the text will stand."""

from __future__ import annotations

import json

import msgspec

from batchrouter.domain.checked.judge import Fault
from batchrouter.domain.outcome import Flag, Outcome, error_mark
from batchrouter.domain.output_line import error_line, response_line, with_fault
from batchrouter.engine.line_call import LineCall
from batchrouter.errors import LineRefused, TransportError
from batchrouter.providers.base import Reply

Fields = tuple[int, int, int, int, int, int, int, int, int, int, int, int, int, int, int]
"""A record without offset and length (`domain.outcome.Record`)."""

_INVALID = int(Flag.INVALID_OUTPUT)
_U16, _U32 = 0xFFFF, 0xFFFFFFFF
_NOT_JSON = b'{"code":"invalid_reply","message":"The upstream answered with something that is not JSON."}'
_TRANSPORT_CODES = {
    "ConnectFailed": "connection_error",
    "ReplyTimeout": "timeout",
    "ReplyTooLarge": "reply_too_large",
    "ReplyBroken": "invalid_reply",
    "ConnectionLost": "connection_error",
}


def of_reply(
    line: LineCall, outcome: Outcome, reply: Reply, lane_id: int, now_s: float, fault: Fault | None = None
) -> tuple[bytes, Fields]:
    """The line ends with what the upstream answered. `fault`: why that is not what its request's schema asks for."""
    held, status, attempts = line.held, line.status, line.attempts
    number = held.first_line + line.place
    prefix = held.batch.prefix
    told = None if line.more is None else line.more.told
    flags = 0 if reply.code is None else error_mark(reply.code)
    if fault is not None:
        told, flags = with_fault(told, *fault), _INVALID
    if reply.usable:
        request_id = _request_id(line.headers)
        text = response_line(prefix, number, attempts, line.custom_id, status, reply.body, request_id, told)
    else:
        text = error_line(prefix, number, line.custom_id, _NOT_JSON, told)
    tokens_in, tokens_cached, tokens_out, tokens_reasoning = reply.tokens
    return text, (
        number,
        held.range_no,
        held.shard_id,
        held.epoch,
        outcome,
        reply.finish,
        status,
        attempts if attempts < _U16 else _U16,
        flags,
        _latency_ms(line, now_s),
        lane_id,
        tokens_in,
        tokens_cached,
        tokens_out,
        tokens_reasoning,
    )


def of_error(line: LineCall, error: TransportError, lane_id: int, now_s: float) -> tuple[bytes, Fields]:
    """The line ends without a whole reply: code and message, nothing else (contract section 3)."""
    held = line.held
    number = held.first_line + line.place
    code = _TRANSPORT_CODES.get(type(error).__name__, "connection_error")
    why = msgspec.json.encode({"code": code, "message": f"The upstream gave no whole reply: {error}."})
    told = None if line.more is None else line.more.told
    text = error_line(held.batch.prefix, number, line.custom_id, why, told)
    return text, _failed(line, 0, code, lane_id, _latency_ms(line, now_s))


def of_refusal(line: LineCall, refusal: LineRefused, lane_id: int) -> tuple[bytes, Fields]:
    """The line ends by our own word, in the form in which its upstream would have refused it."""
    held = line.held
    told = None if line.more is None else line.more.told
    number, body = held.first_line + line.place, refusal_body(refusal)
    text = response_line(held.batch.prefix, number, line.attempts, line.custom_id, refusal.status, body, None, told)
    return text, _failed(line, refusal.status, refusal.code, lane_id, 0)


def refusal_body(refusal: LineRefused) -> bytes:
    """What an upstream would have answered with."""
    told = {
        "message": refusal.message,
        "type": "invalid_request_error",
        "param": refusal.param,
        "code": refusal.code,
    }
    return json.dumps({"error": told}).encode()  # in ASCII, so that no line break of any kind gets in


def sound_id(request_id: bytes) -> bytes | None:
    """The upstream's own id of a request, if it can stand in JSON as it is."""
    sound = 0 < len(request_id) <= 128 and request_id.isascii() and request_id.translate(None, b"-_.:").isalnum()
    return request_id if sound else None


def _failed(line: LineCall, status: int, code: str, lane_id: int, latency_ms: int) -> Fields:
    held = line.held
    number, attempts = held.first_line + line.place, min(line.attempts, _U16)
    failed = int(Outcome.FAILED)
    home = (number, held.range_no, held.shard_id, held.epoch)
    return (*home, failed, 0, status, attempts, error_mark(code), latency_ms, lane_id, 0, 0, 0, 0)


def _latency_ms(line: LineCall, now_s: float) -> int:
    latency_ms = int((now_s - line.sent_s) * 1000)
    return latency_ms if latency_ms < _U32 else _U32


def _request_id(headers: list[tuple[bytes, bytes]]) -> bytes | None:
    for name, value in headers:
        if name == b"x-request-id":
            return sound_id(value)
    return None
