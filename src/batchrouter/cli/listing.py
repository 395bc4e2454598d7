"""`batchrouter ls`: batches, newest first, once or for as long as somebody watches."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import msgspec
from rich.console import Console
from rich.live import Live
from rich.text import Text

from batchrouter.bootstrap.local import now_s
from batchrouter.cli.columns import Column, laid_out
from batchrouter.cli.facts import clean, fact, long_span, money
from batchrouter.cli.place import ServerOptions
from batchrouter.cli.server import Server
from batchrouter.cli.told import BatchTold
from batchrouter.cli.words import OK, emit, say, tell

WATCH_S = 1.0
COLOURS = {
    "completed": "green",
    "failed": "red",
    "expired": "red",
    "cancelled": "dim",
    "paused": "yellow",
    "in_progress": "cyan",
}
COLUMNS = (
    Column(title="ID", least=14),
    Column(title="NAME", need=2, least=8),
    Column(title="TENANT", need=6, least=8),
    Column(title="STATE"),
    Column(title="DONE", right=True),
    Column(title="FAILED", right=True),
    Column(title="RATE", need=7, right=True),
    Column(title="COST", need=3, right=True),
    Column(title="AGE", need=4, right=True),
    Column(title="DEADLINE", need=5, right=True),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListOptions:
    server: ServerOptions
    states: tuple[str, ...] = ()
    model: str | None = None
    search: str | None = None
    metadata: tuple[tuple[str, str], ...] = ()
    limit: int | None = 20
    watch: bool = False
    json: bool = False


def list_batches(options: ListOptions) -> int:
    server = Server.of(options.server)
    every = options.server.tenant == "*"
    if options.watch:
        return _watch(server, options, every)
    rows = _rows(server, options)
    if options.json:
        emit({"ok": True, "batches": rows})
        return OK
    if not rows:
        say("There are no batches like that." if _query(options) else "There are no batches yet.")
        return OK
    out = Console(soft_wrap=True, highlight=False)
    width = out.width if sys.stdout.isatty() else None
    if sys.stdout.isatty() and not out.is_dumb_terminal:
        out.print(_coloured(_table(rows, every, width, {})))
    else:
        tell("\n".join(_table(rows, every, width, {})))
    return OK


def _query(options: ListOptions) -> dict[str, str | int]:
    query: dict[str, str | int] = {f"metadata[{name}]": value for name, value in options.metadata}
    told = {"status": ",".join(options.states), "model": options.model, "search": options.search}
    return query | {name: value for name, value in told.items() if value}


def _rows(server: Server, options: ListOptions) -> list[dict[str, Any]]:
    """Asked as the server can, and looked at again: an older server leaves filters aside."""
    wanted = (row for row in server.pages(_query(options)) if _is_wanted(row, options))
    return list(islice(wanted, options.limit))


def _is_wanted(row: Mapping[str, Any], options: ListOptions) -> bool:
    metadata = row.get("metadata") or {}
    return (not options.states or row["status"] in options.states) and all(
        metadata.get(name) == value for name, value in options.metadata
    )


def _table(rows: list[dict[str, Any]], every: bool, width: int | None, rates: Mapping[str, float]) -> list[str]:
    now = now_s()
    return laid_out(COLUMNS, [_cells(msgspec.convert(row, BatchTold), every, now, rates) for row in rows], width)


def _cells(batch: BatchTold, every: bool, now: float, rates: Mapping[str, float]) -> tuple[str, ...]:
    counts = batch.request_counts
    left_s = batch.expires_at - now
    rate = rates.get(batch.id)
    return (
        batch.id,
        clean(batch.name),
        clean(batch.batchrouter.tenant or "") if every else "",
        batch.state,
        f"{counts.done}/{counts.total}",
        str(counts.failed),
        "" if rate is None else f"{rate:.1f}/s",
        money(batch.usage.cost),
        long_span(max(0.0, now - batch.created_at)),
        "" if batch.final or not batch.expires_at else ("over" if left_s <= 0 else f"in {long_span(left_s)}"),
    )


def _coloured(lines: list[str]) -> Text:
    text = Text(no_wrap=True, overflow="crop")
    for number, line in enumerate(lines):
        styled = Text(line, style="bold dim" if not number else "")
        for state, colour in COLOURS.items():
            styled.highlight_regex(rf"(?<= ){state}(?= )", colour)
        text.append_text(styled)
        text.append("\n" if number < len(lines) - 1 else "")
    return text


def _watch(server: Server, options: ListOptions, every: bool) -> int:
    """Until Ctrl-C. On a terminal the table is drawn anew; elsewhere each batch is told when something has changed."""
    console = Console(highlight=False)
    draws = sys.stdout.isatty() and not console.is_dumb_terminal and not options.json
    before: dict[str, tuple[Any, ...]] = {}
    done: dict[str, tuple[float, int]] = {}
    with Live(console=console, auto_refresh=False, transient=False) as live:
        if not draws:
            live.stop()
        while True:
            rows, now = _rows(server, options), now_s()
            rates = _rates(rows, done, now)
            if draws:
                shown = _table(rows, every, console.width, rates)[: max(2, console.height - 1)]
                live.update(_coloured(shown), refresh=True)
            for row in rows if not draws else ():
                batch = msgspec.convert(row, BatchTold)
                seen = (batch.state, batch.request_counts.done, batch.request_counts.failed)
                if before.get(batch.id) != seen:
                    before[batch.id] = seen
                    emit(row) if options.json else tell(fact(batch, now))
            time.sleep(WATCH_S)


def _rates(rows: list[dict[str, Any]], done: dict[str, tuple[float, int]], now: float) -> dict[str, float]:
    """Lines per second since each was seen the last time."""
    rates: dict[str, float] = {}
    for row in rows:
        batch = msgspec.convert(row, BatchTold)
        had = done.get(batch.id)
        if had is not None and not batch.final and now > had[0]:
            rates[batch.id] = max(0, batch.request_counts.done - had[1]) / (now - had[0])
        done[batch.id] = (now, batch.request_counts.done)
    return rates
