"""What a run came to, on one screen or as one JSON object."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from batchrouter.cli.failures import Failure
from batchrouter.cli.words import count, lines, seconds

KINDS_SHOWN = 12


class Summary(msgspec.Struct, kw_only=True):
    """`status`: completed, expired, interrupted or needs_person. `invalid_output` lines are completed, but not as their
    schema asks; `not_run` lines ended without being tried to their end; `left` lines have no end yet and are kept for
    the next run.

    `calls`, `wall_s`, `rate` and `peak_in_flight` are of this process; `retries` are those of its calls
    that brought no line to its end.
    """

    ok: bool
    exit_code: int
    status: str
    endpoint: str
    total: int
    completed: int
    failed: int
    invalid_output: int
    not_run: int
    left: int
    failures: list[Failure]
    continued: bool
    calls: int
    retries: int
    tokens_in: int
    tokens_cached: int
    tokens_out: int
    tokens_reasoning: int
    wall_s: float
    rate: float
    peak_in_flight: int
    output: str | None
    errors: str | None
    state: str | None
    reasons: list[str]


def summary_lines(told: Summary) -> Iterator[str]:
    yield (
        f"{told.status.replace('_', ' ')}: {lines(told.total)}, {count(told.completed)} ok, {count(told.failed)} failed"
        + (f", {count(told.invalid_output)} of the answers not as their schema asks" if told.invalid_output else "")
        + (f", {count(told.not_run)} not run" if told.not_run else "")
        + (f", {count(told.left)} left" if told.left else "")
    )
    for failure in told.failures[:KINDS_SHOWN]:
        yield f"  {count(failure.count)} × {failure.kind}, such as {failure.sample}"  # noqa: RUF001
    if len(told.failures) > KINDS_SHOWN:
        yield f"  and {len(told.failures) - KINDS_SHOWN} more kinds, in the errors file"
    since = ", since it was continued" if told.continued else ""
    yield f"  calls     {count(told.calls)}, {count(told.retries)} of them retried or cut off{since}"
    yield (
        f"  tokens    {count(told.tokens_in)} in ({count(told.tokens_cached)} cached), "
        f"{count(told.tokens_out)} out ({count(told.tokens_reasoning)} reasoning)"
    )
    yield f"  time      {seconds(told.wall_s)}, {told.rate:,.1f} lines/s, peak in flight {told.peak_in_flight}{since}"
    for name, path in (("output", told.output), ("errors", told.errors), ("state", told.state)):
        if path is not None:
            yield f"  {name:<9} {path}"
    yield from (f"  {reason}" for reason in told.reasons)
