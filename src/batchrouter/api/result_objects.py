"""Lines as they are told before a file of them is downloaded; see `objects`."""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET, Raw, Struct, UnsetType

from batchrouter.api.batch_objects import BatchStatus
from batchrouter.domain.line_filter import WORDS
from batchrouter.domain.outcome import Finish, Flag, Record
from batchrouter.service.results import Line, ResultPage

Ending = Literal["succeeded", "failed", "expired", "cancelled", "unfinished"]


class LineUsage(Struct):
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    reasoning_tokens: int


class LineObject(Struct):
    """One line of a batch. `line` counts the requests of the input file from 0; `result` is the very line of the output
    or error file, null before it has one and once that file is gone; `request`, only where asked, is the input line."""

    object: Literal["batch.line"]
    line: int
    custom_id: Raw | None
    outcome: Ending
    invalid_output: bool
    reused: bool
    finish_reason: Literal["stop", "length", "tool_calls", "content_filter", "other"] | None
    status_code: int | None
    error_code: str | None
    attempts: int
    latency_ms: int | None
    usage: LineUsage | None
    provider: str | None
    model: str | None
    mode: str | None
    result: Raw | None
    request: Raw | UnsetType | None = UNSET


class LineList(Struct):
    """`next` is always where to go on, for more lines or later."""

    object: Literal["list"]
    data: list[LineObject]
    has_more: bool
    next: str
    status: BatchStatus


def line_list(page: ResultPage, *, requests: bool) -> LineList:
    return LineList(
        "list",
        [line_object(line, requests=requests) for line in page.lines],
        page.more,
        str(page.next),
        page.batch.state.value,
    )


def line_object(line: Line, *, requests: bool) -> LineObject:
    record = line.record
    return LineObject(
        object="batch.line",
        line=line.line,
        custom_id=None if line.custom_id is None else Raw(line.custom_id),
        outcome="unfinished" if record is None else WORDS[record.outcome],  # type: ignore[arg-type]
        invalid_output=record is not None and bool(record.flags & Flag.INVALID_OUTPUT),
        reused=record is not None and bool(record.flags & Flag.REUSED),
        finish_reason=None if record is None else _FINISHES[record.finish],  # type: ignore[arg-type]
        status_code=None if record is None else record.status or None,
        error_code=line.error_code,
        attempts=0 if record is None else record.attempts,
        latency_ms=None if record is None or not record.attempts else record.latency_ms,
        usage=_usage(record),
        provider=None if line.lane is None else line.lane.provider,
        model=None if line.lane is None else line.lane.model,
        mode=None if line.lane is None else line.lane.mode.value,
        result=None if line.result is None else Raw(memoryview(line.result)[:-1]),
        request=UNSET if not requests else None if line.request is None else Raw(one_line(line.request)),
    )


def one_line(request: bytes) -> bytes:
    """A carriage return between two tokens of JSON would end a line of an event stream."""
    return request.strip().replace(b"\r", b" ")


_FINISHES = [None if each is Finish.NONE else each.name.lower() for each in Finish]


def _usage(record: Record | None) -> LineUsage | None:
    if record is None or not (record.tokens_in or record.tokens_out):
        return None
    return LineUsage(record.tokens_in, record.tokens_cached, record.tokens_out, record.tokens_reasoning)
