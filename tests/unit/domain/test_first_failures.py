"""When a batch pauses because its first lines all failed alike, and when it goes on."""

from __future__ import annotations

from batchrouter.domain.first_failures import TRY_MAX_S, TRY_S, FirstFailures


def failing(first: FirstFailures, count: int, now_s: float = 0.0) -> list[bool]:
    return [first.on_failure(400, "bad", now_s) for _ in range(count)]


def test_like_failures_pause_at_the_number_and_only_then() -> None:
    first = FirstFailures(5)
    assert failing(first, 4) == [False] * 4
    assert not first.paused
    assert failing(first, 3) == [True, False, False]
    assert first.paused


def test_one_answer_before_the_number_ends_the_watch() -> None:
    first = FirstFailures(5)
    failing(first, 4)
    assert not first.on_success()
    assert failing(first, 10) == [False] * 10
    assert not first.paused


def test_two_ways_to_fail_end_the_watch() -> None:
    """Status and code are compared both; without a reply is a way of its own."""
    for other in ((400, "worse"), (422, "bad"), (0, None)):
        first = FirstFailures(3)
        failing(first, 2)
        assert not first.on_failure(*other, 0.0)
        assert failing(first, 10) == [False] * 10


def test_an_answer_ends_the_pause_for_good() -> None:
    first = FirstFailures(2)
    failing(first, 2)
    assert first.on_success()
    assert not first.paused
    assert failing(first, 10) == [False] * 10


def test_one_line_is_tried_at_growing_intervals() -> None:
    first = FirstFailures(1)
    failing(first, 1, 1000.0)
    tried = [now_s for now_s in range(1000, 5000) if first.may_try(float(now_s))]
    gaps = [later - earlier for earlier, later in zip([1000, *tried], tried, strict=False)]
    assert gaps[0] == TRY_S
    assert gaps == sorted(gaps)
    assert gaps[:5] == [30, 60, 120, 240, 480]
    assert gaps[-1] == TRY_MAX_S


def test_a_failure_of_another_kind_does_not_end_a_pause() -> None:
    first = FirstFailures(2)
    failing(first, 2)
    assert not first.on_failure(500, None, 0.0)
    assert first.paused


def test_zero_switches_it_off() -> None:
    assert failing(FirstFailures(0), 1000) == [False] * 1000


def test_the_reason_tells_status_and_code_and_no_free_text() -> None:
    """A code that is no word could be anything, a prompt too."""
    first = FirstFailures(2)
    failing(first, 2)
    assert first.reason == "the first 2 lines of this batch all failed here (400 bad); the rest waits"
    first = FirstFailures(1)
    first.on_failure(400, "Tell me about cats", 0.0)
    assert "cats" not in first.reason
    first = FirstFailures(1)
    first.on_failure(0, None, 0.0)
    assert "(without a reply)" in first.reason
