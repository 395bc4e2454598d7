"""A job has as much as its provider takes, and no more."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrouter.domain.job import Enqueued, NativeFacts
from batchrouter.domain.job_plan import (
    JobCut,
    JobLimits,
    TokenGuess,
    backoff_s,
    job_limits,
    poll_s,
    room_of,
    too_large,
    window_s,
)
from batchrouter.domain.job_refusal import Refusal, of_create, of_question, of_whole

NOTHING = Enqueued(0, 0, 0)


@given(
    st.lists(st.tuples(st.integers(1, 400), st.integers(1, 100)), max_size=80),
    st.integers(1, 30),
    st.integers(500, 4000),
    st.sampled_from([None, 120, 1000]),
    st.integers(1, 9),
)
def test_cutting_loses_no_line_and_keeps_every_limit(
    lines: list[tuple[int, int]], most_lines: int, most_bytes: int, most_tokens: int | None, slice_size: int
) -> None:
    """However the lines are fed, job after job: in order, each once, every job within its limits and none empty, and no
    job stops before the first line that it cannot have."""
    limits = JobLimits(most_lines, most_bytes, most_tokens)
    fitting = [line for line in lines if not too_large(*line, limits)]
    jobs: list[list[tuple[int, int]]] = []
    rest = list(fitting)
    while rest:
        cut, job = JobCut(limits), []
        while rest:
            some = rest[:slice_size]
            taken = cut.take([size for size, _ in some], [tokens for _, tokens in some])
            job += some[:taken]
            rest = rest[taken:]
            if taken < len(some):
                size, tokens = some[taken]
                assert (
                    len(job) == most_lines
                    or cut.bytes + size + 1 > most_bytes
                    or (most_tokens is not None and cut.tokens + tokens > most_tokens)
                )
                break
        assert job
        assert (cut.lines, cut.bytes) == (len(job), sum(size + 1 for size, _ in job))
        assert cut.lines <= most_lines
        assert cut.bytes <= most_bytes
        assert most_tokens is None or cut.tokens <= most_tokens
        jobs.append(job)
    assert [line for job in jobs for line in job] == fitting


def test_a_twentieth_of_each_limit_stays_in_hand_and_the_tighter_token_limit_holds() -> None:
    """Providers count in their own way."""
    facts = NativeFacts(max_requests=1000, max_bytes=2000, enqueued_tokens=100)
    assert job_limits(facts) == JobLimits(950, 1900, 95)
    assert job_limits(facts, 60) == JobLimits(950, 1900, 57)
    assert job_limits(NativeFacts(max_requests=1000, max_bytes=2000), 60).tokens == 57
    assert job_limits(NativeFacts()).tokens is None


def test_what_is_under_way_leaves_less_room_and_a_full_lane_says_why() -> None:
    """Limits make a lane wait."""
    facts = NativeFacts(enqueued_tokens=1000, max_jobs=2)
    assert room_of(facts, NOTHING).limits.tokens == 950
    assert room_of(facts, Enqueued(1, 10, 900)).limits.tokens == 50
    assert room_of(facts, Enqueued(1, 10, 900)).why is None
    assert "950 enqueued tokens" in (room_of(facts, Enqueued(1, 10, 950)).why or "")
    assert "2 jobs" in (room_of(facts, Enqueued(2, 10, 0)).why or "")
    assert room_of(NativeFacts(), Enqueued(500, 10**6, 10**9)).why is None


def test_a_job_ends_where_the_money_does() -> None:
    """And says so; other limits do not."""
    cut = JobCut(JobLimits(10, 100_000, None, nano=100))
    assert cut.take([5, 5, 5], [1, 1, 1], [40, 60, 1]) == 2
    assert (cut.nano, cut.poor) == (100, True)
    other = JobCut(JobLimits(1, 100_000, None, nano=100))
    assert other.take([5, 5], [1, 1], [40, 60]) == 1
    assert not other.poor


def test_a_small_gap_is_not_worth_a_job_that_leaves_lines_behind() -> None:
    """A quarter of any of the limits is."""
    whole = JobLimits(100, 100_000, 1000)
    for lines, size, tokens, worth in ((24, 10, 1, False), (25, 10, 1, True), (3, 10_000, 1, True), (2, 10, 130, True)):
        cut = JobCut(whole)
        assert cut.take([size] * lines, [tokens] * lines) == lines
        assert cut.worth(whole) is worth


def test_a_lane_with_nothing_under_way_takes_one_line_whatever_was_learnt() -> None:
    """Else a limit that was guessed too low would keep a long line out for ever."""
    limits = JobLimits(100, 100_000, 50)
    assert JobCut(limits).take([900, 900], [60, 60]) == 0
    alone = JobCut(limits, alone=True)
    assert (alone.take([900, 900], [60, 60]), alone.tokens) == (1, 60)
    assert JobCut(limits, alone=True).take([100_000], [1]) == 0


def test_a_guess_of_tokens_is_a_quarter_of_the_bytes_and_a_fifth_on_top_until_results_tell() -> None:
    """Other text has a third; what jobs turned out to have is believed, newer results more."""
    guess = TokenGuess()
    assert (guess.of(4000, True), guess.of(3000, False)) == (1201, 1201)
    guess.learn(4000, 0)
    assert guess.of(4000, True) == 1201
    guess.learn(4000, 2000)
    assert guess.of(4000, True) == 2401
    guess.learn(40_000_000, 4_000_000)
    for _ in range(8):
        guess.learn(40_000_000, 40_000_000)
    assert guess.of(1000, True) > 1100


def test_looks_grow_apart_up_to_a_minute() -> None:
    """10 s growing to 60 s, spread by a fifth."""
    facts = NativeFacts()
    waits = [poll_s(facts, polls, 0.5) for polls in range(8)]
    assert (waits[0], waits[-1]) == (10.0, 60.0)
    assert waits == sorted(waits)
    assert (poll_s(facts, 0, 0.0), round(poll_s(facts, 10_000, 0.999), 1)) == (9.0, 66.0)
    assert [backoff_s(tries, 5.0, 60.0, 0.0) for tries in (0, 1, 2, 3, 99)] == [5.0, 5.0, 10.0, 20.0, 60.0]


def test_the_window_asked_for_is_the_smallest_that_covers_the_time_left() -> None:
    """Else the largest there is: overtaking keeps ours."""
    facts = NativeFacts(windows_s=(86_400, 604_800))
    assert [window_s(facts, left) for left in (60.0, 86_400.0, 86_401.0, 10**7)] == [86_400, 86_400, 604_800, 604_800]


@pytest.mark.parametrize(
    ("status", "code", "refusal"),
    [
        (401, None, Refusal.PAUSE),
        (402, None, Refusal.PAUSE),
        (403, None, Refusal.PAUSE),
        (429, "insufficient_quota", Refusal.PAUSE),
        (400, "billing_hard_limit_reached", Refusal.PAUSE),
        (429, "rate_limit_exceeded", Refusal.LATER),
        (429, None, Refusal.LATER),
        (429, "token_limit_exceeded", Refusal.LIMIT),
        (400, "too_many_tasks", Refusal.LIMIT),
        (400, "EnqueuedTokenLimit", Refusal.LIMIT),
        (400, "model_not_supported", Refusal.NO_BATCH),
        (404, None, Refusal.NO_BATCH),
        (413, None, Refusal.NO_BATCH),
        (422, None, Refusal.NO_BATCH),
        (501, None, Refusal.UNKNOWN),
        (502, None, Refusal.UNKNOWN),
        (529, "overloaded_error", Refusal.LATER),
        (408, None, Refusal.UNKNOWN),
    ],
)
def test_a_refusal_to_make_a_job_is_told_by_status_and_code(status: int, code: str | None, refusal: Refusal) -> None:
    """Only what certainly made nothing is tried again without asking the provider's list."""
    assert of_create(status, code) is refusal


def test_other_refusals() -> None:
    """A job that is not there is gone; a key that is refused pauses; everything else passes."""
    questions = [of_question(status, None) for status in (404, 410, 401, 403, 429, 500, 400)]
    assert questions == [Refusal.GONE, Refusal.GONE, *[Refusal.PAUSE] * 2, *[Refusal.LATER] * 3]
    assert [of_whole(code) for code in ("token_limit_exceeded", "billing_hard_limit_reached", "mismatched_model")] == [
        Refusal.LIMIT,
        Refusal.PAUSE,
        Refusal.NO_BATCH,
    ]
