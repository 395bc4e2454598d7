"""`batchrouter tail`: lines as they finish, each once, through restarts of the server."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from batchrouter.cli.choosing import FAILED
from batchrouter.cli.facts import clean
from batchrouter.cli.place import ServerOptions
from batchrouter.cli.server import ResultPage, Server, line_told
from batchrouter.cli.told import FINAL, LineTold
from batchrouter.cli.words import INTERRUPTED, OK, say, seconds
from batchrouter.errors import InputError

PATIENCE_S = 600.0
WAIT_S = 20
PAGE = 500
ANSWER_CHARS = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class TailOptions:
    """`last`: how many of the lines that are finished already; with `from_line`, those from this one on, counted from
    1. `where`: see `choosing.chosen`."""

    server: ServerOptions
    id: str
    follow: bool = False
    last: int = 10
    from_line: int | None = None
    where: Mapping[str, list[str]]
    failed: bool = False
    json: bool = False


def how_many(told: str) -> tuple[int, int | None]:
    """`10` and `+1`, as of the tail of Unix: the last ten, and all from the first. Raises `InputError`."""
    number = told.removeprefix("+")
    if not (number.isascii() and number.isdecimal() and len(number) < 10):
        raise InputError(f"-n takes a number, 20, or +1 for all from the first on, not '{told}'")
    return (0, max(1, int(number))) if told.startswith("+") else (int(number), None)


def tail(options: TailOptions) -> int:
    """Raises `KeyboardInterrupt` for nobody: it says what goes on."""
    server = Server.of(options.server, patience_s=PATIENCE_S)
    batch_id = server.find(options.id)
    try:
        _tail(server, batch_id, options)
    except KeyboardInterrupt:
        say(f"Interrupted. Nothing changes for the batch; `batchrouter tail -f {batch_id}` looks again.")
        return INTERRUPTED
    return OK


def _tail(server: Server, batch_id: str, options: TailOptions) -> None:
    query: dict[str, str | int] = {"order": "completion", "limit": PAGE}
    query |= {name: ",".join(values) for name, values in options.where.items()}
    if options.failed:
        query["outcome"] = ",".join(FAILED)
    cursor, seen = _finished(server, batch_id, query, options)
    if not options.follow:
        if not seen:
            say("No line is finished yet that matches; -f waits for them.")
        return
    while True:
        page = server.results(batch_id, query | ({"after": cursor} if cursor else {}), wait_s=WAIT_S)
        _print(page.data, options.json)
        cursor = page.next or cursor
        if page.status in FINAL and not page.has_more:
            return


def _finished(
    server: Server, batch_id: str, query: dict[str, str | int], options: TailOptions
) -> tuple[str | None, int]:
    """Print what is finished already, as far as it is wanted; the cursor after it, and how many there were. Only as
    many lines as are wanted are kept."""
    kept: deque[msgspec.Raw] = deque(maxlen=options.last)
    cursor: str | None = None
    seen = 0
    for page in _pages(server, batch_id, query):
        cursor = page.next or cursor
        if options.from_line is not None:
            _print(page.data[max(0, options.from_line - 1 - seen) :], options.json)
        else:
            kept.extend(page.data)
        seen += len(page.data)
    _print(list(kept), options.json)
    return cursor, seen


def _pages(server: Server, batch_id: str, query: dict[str, str | int]) -> Iterator[ResultPage]:
    cursor: str | None = None
    while True:
        page = server.results(batch_id, query | ({"after": cursor} if cursor else {}))
        yield page
        if not page.has_more or page.next is None:
            return
        cursor = page.next


def _print(lines: list[msgspec.Raw], as_json: bool) -> None:
    for raw in lines:
        text = bytes(raw).decode() if as_json else line_of(line_told(raw))
        sys.stdout.write(text + "\n")
    if lines:
        sys.stdout.flush()


def line_of(line: LineTold) -> str:
    """`line-17  succeeded  stop  0.81 s  12 tokens  The answer begins …`, one line of text."""
    outcome = "invalid_output" if line.invalid_output else line.outcome
    why = line.finish_reason or " ".join(str(part) for part in (line.status_code, line.error_code) if part)
    took = "" if line.latency_ms is None else seconds(line.latency_ms / 1000)
    tokens = (line.usage or {}).get("output_tokens")
    parts = [line.custom_id, outcome, why, took, f"{tokens} tokens" if tokens else "", _text(line.result or {})]
    return clean("  ".join(part for part in parts if part))


def _text(result: Mapping[str, Any]) -> str:
    """How the answer begins, or what the error says. Upstreams send anything, so nothing is taken for granted."""
    body = _at(result, "response", "body")
    told = body if isinstance(body, str) else _said(body)
    error = _at(result, "error") or _at(body, "error")
    told = told or _at(error, "message") or _at(error, "code")
    told = told if isinstance(told, str) else ""
    return told if len(told) <= ANSWER_CHARS else f"{told[:ANSWER_CHARS]}…"


def _said(body: object) -> object:
    """The text of a chat, a completion, a response or a message."""
    for path in (
        ("choices", 0, "message", "content"),
        ("choices", 0, "text"),
        ("output", -1, "content", 0, "text"),
        ("content", 0, "text"),
    ):
        found = _at(body, *path)
        if isinstance(found, str):
            return found
    return None


def _at(value: object, *path: str | int) -> object:
    """What stands there; None where nothing does."""
    for step in path:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and value and isinstance(step, int):
            value = value[step]
        else:
            return None
    return value
