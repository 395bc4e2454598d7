"""Whatever fails, the log tells of it without a word of what was asked, what was answered, or a key."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from batchrouter.cli.logs import JsonFormatter, TextFormatter
from batchrouter.errors import (
    BatchRouterError,
    BlobError,
    ConnectFailed,
    ConnectionLost,
    LineRefused,
    ReplyBroken,
    ReplyTimeout,
    ReplyTooLarge,
    StoreAway,
)
from batchrouter.providers.openai import OpenAIWire
from tests.unit.engine.house import Answer, House, chat, echo, question

MARK = "m@rk of 7 secrets"  # fits into no code that is fit to be shown
BODY = json.dumps({"error": {"code": MARK, "message": MARK, "type": MARK, "param": MARK}}).encode()
HEADERS = tuple((name, MARK.encode()) for name in (b"retry-after", b"x-request-id", b"location", b"x-api-key"))


class Heard(logging.Handler):
    """Both forms of every record of ours."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.forms = (TextFormatter(), JsonFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        self.lines += [form.format(record) for form in self.forms]


@pytest.fixture
def heard() -> Iterator[Heard]:
    handler, root = Heard(), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield handler
    root.setLevel(level)
    root.removeHandler(handler)


def marked(count: int) -> list[dict[str, Any]]:
    """Lines whose prompt, id and parameters have the mark."""
    return [
        {**line, "custom_id": f"{MARK}-{line['custom_id']}"}
        for line in chat(count, user=MARK, metadata={MARK: MARK}, stop=[MARK])
    ]


class Clumsy(OpenAIWire):
    """A wire of ours with a fault: it puts what it read into its exceptions."""

    def decode(self, endpoint: str, status: int, body: bytes, note: object | None = None) -> Any:
        if b"question 3" in body:
            raise ValueError(f"cannot read {body!r} {MARK}")
        return super().decode(endpoint, status, body, note)


ENDS = (
    Answer(400, BODY, headers=HEADERS),
    Answer(401, BODY, headers=HEADERS),
    Answer(402, BODY, headers=HEADERS),
    Answer(403, BODY, headers=HEADERS),
    Answer(404, BODY, headers=HEADERS),
    Answer(302, BODY, headers=HEADERS),
    Answer(429, BODY, headers=HEADERS),
    Answer(500, BODY, headers=HEADERS),
    Answer(529, MARK.encode(), headers=HEADERS),
    Answer(200, MARK.encode(), headers=HEADERS),
    Answer(
        200, b'{"model": "' + MARK.encode() + b'", "choices": 5, "usage": "' + MARK.encode() + b'"}', headers=HEADERS
    ),
    *(Answer(error=error("it did not work")) for error in (ConnectFailed, ConnectionLost, ReplyBroken, ReplyTimeout)),
    Answer(error=ReplyTooLarge("it was too large")),
)


@pytest.mark.parametrize("end", ENDS, ids=lambda end: f"{end.status}-{type(end.error).__name__}-{len(end.body)}")
async def test_no_end_of_a_call_is_told_in_its_own_words(end: Answer, heard: Heard) -> None:
    """One sick lane and good lines beside it, then a cancel."""
    house = House(lambda body: end if int(question(body).split()[1]) % 2 else echo(body))
    await house.new_worker()
    batch_id = await house.create(marked(40), metadata={"x": MARK})
    await house.run_for(30)
    house.cancel(batch_id)
    await house.run_for(30)
    assert house.sent
    assert any(MARK.encode() in sent for sent in house.sent)
    assert MARK not in "\n".join(heard.lines)


async def test_no_fault_of_ours_or_of_the_store_is_told_with_what_it_handled(heard: Heard) -> None:
    """Faults of every kind at every verb in turn, each with the mark in the exception that it is made from."""
    house = House(echo)
    house.wire = lambda key: Clumsy("http://upstream.invalid/v1", key.model)
    worker = house.make_worker()
    await house.do(worker.enlist())
    seen: set[str] = set()

    def fault(verb: str, done: bool) -> BatchRouterError | None:
        if verb in seen or verb == "enlist":
            return None
        seen.add(verb)
        error = StoreAway("the database cannot be reached") if "read" not in verb else BlobError("a disk failed")
        error.__cause__ = ValueError(MARK)
        return error

    house.process.fault = fault
    batch_id = await house.create(marked(40))
    for _ in range(200):
        try:
            await house.step()
        except BatchRouterError:
            continue
    assert {"settle", "claim", "plan"} <= seen
    assert heard.lines
    assert MARK not in "\n".join(heard.lines)
    assert batch_id in "\n".join(heard.lines)


def test_a_refusal_of_a_line_is_told_by_its_code() -> None:
    """Its message names parameters with what stands in them."""
    from batchrouter.engine.fault import told

    assert told(LineRefused(f"no such thing as {MARK}", code="unsupported")) == "the line is refused: unsupported"
    assert MARK not in told(ValueError(MARK))
