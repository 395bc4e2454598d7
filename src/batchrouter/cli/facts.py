"""One line about a batch, which people read and scripts search; and the small words that it is made of."""

from __future__ import annotations

import re
from collections.abc import Iterator

from batchrouter.cli.failures import Failure
from batchrouter.cli.summary import KINDS_SHOWN
from batchrouter.cli.told import BatchTold, ErrorClass
from batchrouter.cli.words import INTERRUPTED, OK, SOME_FAILED, count

FAULTS_SHOWN = 20

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")


def clean(text: str) -> str:
    """On one line, and without what a terminal would obey: names, ids and answers are other people's text."""
    return _CONTROL.sub(" ", text)


def money(cost: float | None) -> str:
    """$0.12, $0.0034, $1,234.50; empty where it is not known."""
    if cost is None:
        return ""
    return f"${cost:,.2f}" if not cost or cost >= 0.01 else f"${cost:.2g}"


def long_span(span_s: float) -> str:
    """45 s, 12 min, 5 h, 3 d: in lists, where a column is short."""
    for size, word in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if span_s >= 2 * size:
            return f"{span_s / size:.0f} {word}"
    return f"{span_s:.0f} s"


def fact(batch: BatchTold, now_s: float) -> str:
    """`batch_abc completed 1000/1000, 0 failed, ran 1847 s, $0.12`: always in this order, numbers without commas."""
    counts = batch.request_counts
    parts = [f"{batch.id} {batch.state} {counts.done}/{counts.total}, {counts.failed} failed"]
    if batch.batchrouter.invalid_output:
        parts.append(f"{batch.batchrouter.invalid_output} invalid")
    unfinished = counts.total - counts.done
    if batch.final and unfinished:
        parts.append(f"{unfinished} not run")
    parts.append(f"ran {batch.ran_s(now_s):.0f} s")
    if batch.usage.cost is not None:
        parts.append(money(batch.usage.cost))
    return ", ".join(parts)


def digest(failures: list[Failure]) -> Iterator[str]:
    """As `run` tells it: `  12 × 429 rate_limit, such as line-3`."""  # noqa: RUF002
    for failure in failures[:KINDS_SHOWN]:
        yield clean(f"  {count(failure.count)} × {failure.kind}, such as {failure.sample}").rstrip()  # noqa: RUF001
    if len(failures) > KINDS_SHOWN:
        yield f"  and {len(failures) - KINDS_SHOWN} more kinds"


def failure_of(told: ErrorClass) -> Failure:
    kind = " ".join(str(part) for part in (told.status_code, told.code) if part) or "other"
    return Failure(kind, told.count, told.sample.custom_id or "")


def faults(batch: BatchTold) -> Iterator[str]:
    """Why a batch was refused, line by line."""
    found = batch.errors.data if batch.errors is not None else []
    for fault in found[:FAULTS_SHOWN]:
        where = f"line {fault.line}: " if fault.line else ""
        yield clean(f"  {where}{fault.code}: {fault.message}")
    if len(found) > FAULTS_SHOWN:
        yield f"  and {len(found) - FAULTS_SHOWN} more"


def exit_code_of(batches: list[BatchTold]) -> int:
    """Of batches that were waited for: one that is not over was left by whoever interrupted."""
    if not all(batch.final for batch in batches):
        return INTERRUPTED
    return OK if all(batch.all_well for batch in batches) else SOME_FAILED
