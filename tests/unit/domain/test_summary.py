"""What finished lines come to, against a plain reckoning over all of them."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrouter.domain.eta import Eta, eta_of, rate_of
from batchrouter.domain.outcome import Finish, Flag, Outcome, Record, error_mark, pack
from batchrouter.domain.summary import GROUPS_MAX, POINTS_MAX, Failure, Group, Spread, Summary

MARKS = [0, error_mark("rate_limit_exceeded"), error_mark("timeout")]


def record(line: int, **changes: int) -> Record:
    made = Record(
        line=line, range_no=0, shard=1, epoch=1, outcome=0, finish=1, status=200, attempts=1, flags=0, latency_ms=10,
        lane=1, tokens_in=5, tokens_cached=0, tokens_out=7, tokens_reasoning=0, offset=0, length=1,
    )  # fmt: skip
    return made._replace(**changes)


@st.composite
def settled(draw: st.DrawFn) -> tuple[list[Record], int]:
    """A segment's records, and which were admitted."""
    made = []
    for line in draw(st.lists(st.integers(0, 10_000), max_size=12)):
        outcome = draw(st.sampled_from(Outcome))
        succeeded = outcome is Outcome.SUCCEEDED
        flags = draw(st.sampled_from([0, Flag.INVALID_OUTPUT, Flag.REUSED] if succeeded else MARKS))
        made.append(
            record(
                line,
                outcome=outcome,
                finish=draw(st.sampled_from(Finish)) if succeeded else 0,
                status=200 if succeeded else draw(st.sampled_from([0, 400, 429])),
                attempts=draw(st.integers(0, 3)),
                flags=flags,
                latency_ms=draw(st.integers(0, 100_000)),
                tokens_out=draw(st.integers(0, 5_000)),
            )
        )
    return made, draw(st.integers(0, (1 << len(made)) - 1)) if made else 0


@given(st.lists(st.tuples(settled(), st.integers(0, 10_000_000)), max_size=10))
def test_it_is_what_a_plain_count_says(segments: list[tuple[tuple[list[Record], int], int]]) -> None:
    """Whatever was settled, in whatever order, of which parts counted."""
    summary = Summary()
    for seq, ((records, admitted), at_ms) in enumerate(segments, 1):
        for _ in range(2):  # a repeat adds nothing
            summary.add(seq, pack(records), admitted, at_ms)
    counted = [each for (records, admitted), _ in segments for at, each in enumerate(records) if admitted >> at & 1]
    good = [each for each in counted if each.outcome == Outcome.SUCCEEDED]
    sent = [each for each in counted if each.attempts and not each.flags & Flag.REUSED]
    assert summary.lines == len(counted)
    assert summary.next_seq == len(segments) + 1
    assert {finish: group.count for finish, group in summary.finishes.items()} == Counter(
        Finish(each.finish) for each in good
    )
    assert {failure: group.count for failure, group in summary.failures.items()} == Counter(
        Failure(each.outcome, each.status, each.flags >> 4) for each in counted if each.outcome != Outcome.SUCCEEDED
    )
    invalid = [each.line for each in good if each.flags & Flag.INVALID_OUTPUT]
    assert (summary.invalid is None, summary.invalid and summary.invalid.count) == (not invalid, len(invalid) or None)
    assert summary.attempts == sum(each.attempts for each in sent)
    assert summary.retried == sum(each.attempts > 1 for each in sent)
    assert (summary.latency.count, summary.tokens_out.count) == (len(sent), len(sent))
    points = summary.points()
    failed = [each for each in counted if each.outcome is Outcome.FAILED]
    assert sum(point.done for _, point in points) == len(good) + len(failed)
    assert sum(point.failed for _, point in points) == len(failed)
    assert sum(point.tokens_out for _, point in points) == sum(each.tokens_out for each in sent)
    assert sum(point.latency.count for _, point in points) == len(sent)
    assert len(points) <= POINTS_MAX


def test_each_kind_names_the_first_line_of_its_kind() -> None:
    """So that people can look at one."""
    summary = Summary()
    failed = {"outcome": 1, "status": 429, "flags": MARKS[1]}
    summary.add(1, pack([record(9), record(8, **failed), record(7, **failed)]), 0b111, 0)
    summary.add(2, pack([record(1), record(2, **failed), record(3, flags=1)]), 0b111, 0)
    assert summary.finishes == {Finish.STOP: Group(9, 3)}
    assert summary.failures == {Failure(1, 429, MARKS[1] >> 4): Group(8, 3)}
    assert summary.invalid == Group(3, 1)


def test_kinds_of_failure_are_bounded() -> None:
    """Those that are too many are counted with another of their outcome: the sum stays true."""
    summary = Summary()
    for at in range(GROUPS_MAX * 2):
        summary.add(at + 1, pack([record(at, outcome=1 + at % 2, status=400 + at)]), 1, 0)
    assert len(summary.failures) == GROUPS_MAX
    for outcome in (1, 2):
        counts = [group.count for failure, group in summary.failures.items() if failure.outcome == outcome]
        assert sum(counts) == GROUPS_MAX


def test_a_segment_without_a_time_is_in_no_point() -> None:
    """Of a batch that began under an older version."""
    summary = Summary()
    summary.add(1, pack([record(1)]), 1, None)
    assert (summary.lines, summary.points()) == (1, [])


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=50), st.sampled_from([0.0, 0.5, 0.95, 1.0]))
def test_a_spread_tells_shares_at_most_a_fifth_too_high(values: list[int], share: float) -> None:
    """And never too low."""
    spread = Spread()
    spread.add(Counter(values))
    told = spread.at(share)
    rank = max(1, -(-round(share * len(values) * 1000) // 1000))
    true = sorted(values)[rank - 1]
    assert told is not None
    assert true <= told <= max(true * 1.2, true + 1)
    assert sum(count for _, count in spread.steps()) == len(values)
    assert spread.at(1.0) == max(values)


def test_an_empty_spread_tells_nothing() -> None:
    assert (Spread().at(0.5), Spread().steps()) == (None, [])


# --- when it will be through ------------------------------------------------------------------------------------------


def test_the_rate_is_that_of_the_last_half_minute() -> None:
    """Or since the first line, where that is less."""
    points = [(at * 1000, 10 if at < 60 else 20) for at in range(100)]
    assert rate_of(points, 1000, 100_000) == 20
    assert rate_of(points[:10], 1000, 10_000) == 10
    assert rate_of([], 1000, 10_000) == 0


def test_the_estimate_lies_between_the_fastest_and_the_slowest_pace() -> None:
    points = [(at * 1000, 10 if at < 60 else 20) for at in range(100)]
    eta = eta_of(points, 1000, 100_000, 2_000)
    assert eta is not None
    assert eta.low_s == pytest.approx(100)
    assert eta.high_s == pytest.approx(2_000 / 14)


def test_nothing_left_takes_no_time_and_nothing_done_tells_nothing() -> None:
    assert eta_of([], 1000, 100_000, 0) == Eta(0.0, 0.0)
    assert eta_of([], 1000, 100_000, 5) is None
