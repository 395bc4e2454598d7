"""`batchrouter show`: all that a server tells of one batch, on one screen."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec
from rich.console import Console
from rich.text import Text

from batchrouter.bootstrap.local import now_s
from batchrouter.cli.facts import clean, digest, fact, faults, long_span, money
from batchrouter.cli.lost import failures_of
from batchrouter.cli.place import ServerOptions
from batchrouter.cli.server import Server
from batchrouter.cli.submission import MARK
from batchrouter.cli.told import BatchTold, LaneTold, SummaryTold
from batchrouter.cli.words import OK, count, counted, emit, seconds, tell

STEPS = (
    ("created", "created_at"),
    ("in_progress", "in_progress_at"),
    ("paused", "paused_at"),
    ("cancelling", "cancelling_at"),
    ("finalizing", "finalizing_at"),
    ("completed", "completed_at"),
    ("failed", "failed_at"),
    ("expired", "expired_at"),
    ("cancelled", "cancelled_at"),
)
LANES_SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowOptions:
    server: ServerOptions
    id: str
    json: bool = False


def show(options: ShowOptions) -> int:
    server = Server.of(options.server)
    batch_id = server.find(options.id)
    raw = server.raw_batch(batch_id)
    batch = msgspec.convert(raw, BatchTold)
    summary = server.summary(batch_id) if batch.request_counts.total else None
    if options.json:
        failures = msgspec.to_builtins(failures_of(server, batch))
        told = None if summary is None else msgspec.to_builtins(summary)
        emit({"ok": True, "batch": raw, "summary": told, "failures": failures, "dashboard": server.dashboard(batch_id)})
        return OK
    lines = [*_lines(batch, summary, now_s()), *digest(failures_of(server, batch))]
    lines.append(_row("dashboard", server.dashboard(batch_id)))
    console = Console(highlight=False, soft_wrap=True)
    if sys.stdout.isatty() and not console.is_dumb_terminal:
        for number, line in enumerate(lines):
            text = Text(line, style="bold" if not number else "")
            text.highlight_regex(r"^  [a-z]+(?=  )", "dim")
            console.print(text)
    else:
        tell("\n".join(lines))
    return OK


def _lines(batch: BatchTold, summary: SummaryTold | None, now: float) -> Iterator[str]:
    extra, usage = batch.batchrouter, batch.usage
    yield fact(batch, now)
    if batch.name:
        yield _row("name", clean(batch.name))
    yield _row("states", " → ".join(_steps(batch)))
    if not batch.final and batch.expires_at:
        left_s = batch.expires_at - now
        yield _row("deadline", f"{_time(batch.expires_at)}, " + (f"in {long_span(left_s)}" if left_s > 0 else "over"))
    yield _row("endpoint", clean(batch.endpoint + (f", model {batch.model}" if batch.model else "")))
    yield _row("tokens", f"{count(usage.input_tokens)} in, {count(usage.output_tokens)} out")
    yield from _cost(batch)
    kept = {"retry of": extra.retry_of, "resumed from": extra.resume_from}
    yield from (_row("made", f"{how} {source}") for how, source in kept.items() if source)
    if extra.reused or extra.invalid_output or extra.dedupe:
        reused = f"{count(extra.reused)} reused" + (", identical lines are sent once" if extra.dedupe else "")
        yield _row("answers", f"{reused}, {count(extra.invalid_output)} break their schema")
    for name, value in sorted((batch.metadata or {}).items()):
        if name not in ("name", MARK):
            yield _row("metadata", clean(f"{name}={value}"))
    yield from (_lane(lane, now, batch.final) for lane in extra.lanes[:LANES_SHOWN])
    if len(extra.lanes) > LANES_SHOWN:
        yield _row("lanes", f"and {len(extra.lanes) - LANES_SHOWN} more")
    if summary is not None:
        yield from _summary(summary, batch.final)
    files = {"input": batch.input_file_id, "output": batch.output_file_id, "errors": batch.error_file_id}
    yield from (_row(name, file_id) for name, file_id in files.items() if file_id)
    yield from faults(batch)


def _row(name: str, text: str) -> str:
    return f"  {name:<10} {text}"


def _time(at_s: int) -> str:
    """Of the machine that looks."""
    return datetime.fromtimestamp(at_s, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _steps(batch: BatchTold) -> Iterator[str]:
    """Each state with its time, and how long it was after the one before."""
    times = [(word, getattr(batch, name, None)) for word, name in STEPS if name != "paused_at"]
    if not batch.final:
        times.append(("paused", batch.batchrouter.paused_at))
    before: int | None = None
    for word, at in sorted(((word, at) for word, at in times if at), key=lambda each: each[1]):
        yield f"{word} {_time(at)}" if before is None else f"{word} +{seconds(at - before) if at > before else '0 s'}"
        before = at


def _cost(batch: BatchTold) -> Iterator[str]:
    cost, most = batch.usage.cost, batch.batchrouter.max_cost
    if cost is None and most is None:
        return
    spent = "not known" if cost is None else money(cost)
    share = "" if not most or cost is None else f" ({100 * cost / most:.0f} %)"
    yield _row("cost", spent + (f" of at most {money(most)}{share}" if most is not None else ""))


def _lane(lane: LaneTold, now: float, final: bool) -> str:
    told = f"{lane.provider}/{lane.model} ({lane.mode}): {count(lane.done)} done"
    if not final:
        parts = {"waiting": lane.waiting, "in a job": lane.in_job, "retrying": lane.retrying}
        told += f", in flight {lane.in_flight}" + (f" of at most {lane.limit}" if lane.limit else "")
        told += "".join(f", {count(number)} {word}" for word, number in parts.items() if number)
    if lane.cost is not None:
        told += f", {money(lane.cost)}"
    if lane.state != "open" and not final:
        told += f"; {lane.state}: {lane.reason or 'no reason was told'}"
        if lane.until:
            told += f", tried again in {seconds(max(0.0, lane.until - now))}"
    return _row("lane", clean(told))


def _summary(summary: SummaryTold, final: bool) -> Iterator[str]:
    rate, latency = summary.rate.lines_per_s, summary.latency_ms
    if rate and not final:
        eta = summary.eta
        left = "" if eta is None else f", {seconds(eta.low_s)} to {seconds(eta.high_s)} left"
        yield _row("rate", f"{rate:,.1f} lines/s{left}")
    if latency.p50 is not None:
        found = {"p50": latency.p50, "p95": latency.p95, "p99": latency.p99, "max": latency.max}
        yield _row("latency", ", ".join(f"{name} {seconds(ms / 1000)}" for name, ms in found.items() if ms is not None))
    for each in summary.finish_reasons:
        such = f", such as {each.sample.custom_id}" if each.sample.custom_id else ""
        yield _row("finish", clean(f"{counted(each.count, 'line')} {each.reason}{such}"))
