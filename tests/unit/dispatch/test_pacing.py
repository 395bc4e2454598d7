"""A lane finds the pace of its upstream, whatever the upstream is like, and keeps to what it is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrouter.domain.outage import PAUSE_MAX_S
from batchrouter.domain.pacing import RESET_WAIT_MAX_S, Limiter, Pacing
from batchrouter.domain.rate_headers import Signals
from batchrouter.domain.tokens import Tokens
from batchrouter.domain.verdict import Verdict
from tests.unit.dispatch.upstreams import Queueing, Refusing, Steady, drive


def fill(limiter: Limiter, now_s: float) -> int:
    """Send all that there is room for; returns how many."""
    sent = 0
    while limiter.room(now_s) > 0:
        limiter.on_sent(now_s)
        sent += 1
    return sent


# --- finding the pace -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_an_upstream_without_limits_is_at_its_ceiling_within_two_seconds(spread: float) -> None:
    """300 ms answers, even or exponential: from 32 to 1,024 in flight in five doublings, and there it stays."""
    run = drive(Limiter(Pacing()), Steady(0.3, spread), 5.0)
    assert next(at_s for at_s, limit in run.limits if limit >= 922) < 2.0
    assert run.mean_limit(2.5) > 0.99 * 1024
    assert run.peak == 1024


@pytest.mark.parametrize("slots", [100, 200, 500])
@pytest.mark.parametrize("spread", [0.0, 0.5, 1.0])
def test_an_upstream_that_only_slows_down_is_not_flooded(slots: int, spread: float) -> None:
    """Beyond its slots more in flight brings no more throughput, so the limit settles near them and not at 1,024."""
    run = drive(Limiter(Pacing()), Queueing(slots, Steady(0.3, spread)), 40.0)
    assert 0.65 * slots < run.mean_limit(10.0) < 1.8 * slots
    assert run.count(Verdict.SUCCESS, 10.0) > 0.8 * 30 * slots / 0.3


@pytest.mark.parametrize(("slots", "drops"), [(10, 0.05), (50, 0.02), (200, 0.01), (500, 0.01)])
def test_an_upstream_that_refuses_is_kept_busy_with_few_refusals(slots: int, drops: float) -> None:
    """429 beyond N: the limit hovers below N, and one call in a hundred is refused where N is a hundred or more."""
    run = drive(Limiter(Pacing()), Refusing(slots, Steady(0.3)), 60.0)
    assert 0.8 * slots < run.mean_limit(10.0) <= 1.05 * slots
    assert run.drop_ratio < drops
    assert run.count(Verdict.SUCCESS, 10.0) > 0.85 * 50 * slots / 0.3


def test_capacity_that_grows_is_found_again() -> None:
    """When an upstream that refused beyond 50 takes 400, the lane is there within the minute."""
    upstream = Refusing(50, Steady(0.3))
    limiter = Limiter(Pacing())
    drive(limiter, upstream, 20.0)
    limiter, learnt = Limiter(Pacing(), limiter.limit), limiter.limit
    assert 40 <= learnt <= 51
    upstream.slots = 400
    upstream.ends.clear()
    run = drive(limiter, upstream, 60.0)
    assert run.limit_at(59.0) > 300


def test_a_minute_of_refusals_is_asked_about_rarely_and_over_soon() -> None:
    """429 to everything for a minute: few calls, not thousands; half a minute later the lane is at its capacity."""
    run = drive(Limiter(Pacing()), Refusing(200, Steady(0.3), open_from_s=60.0), 90.0)
    assert run.count(Verdict.DROPPED, 0.0, 60.0) < 150
    assert run.count(Verdict.SUCCESS, 60.0, 60.0 + PAUSE_MAX_S + 1.0) > 0
    assert run.mean_limit(80.0) > 150


def test_a_lane_without_lines_does_not_grow() -> None:
    """With 20 lines at a time the limit stays where it began, however long it goes well."""
    run = drive(Limiter(Pacing()), Steady(0.3), 20.0, most=20)
    assert {limit for _, limit in run.limits} == {32}


def test_a_learnt_limit_restarts_at_half() -> None:
    """And never outside what the settings allow."""
    assert Limiter(Pacing(), 400).limit == 200
    assert Limiter(Pacing(), 1).limit == 1
    assert Limiter(Pacing(max_in_flight=50), 400).limit == 50


# --- drops ----------------------------------------------------------------------------------------------------------


def test_a_burst_of_drops_costs_one_decrease() -> None:
    """32 calls sent together, all refused: the limit halves once."""
    limiter = Limiter(Pacing())
    fill(limiter, 0.0)
    for number in range(32):
        limiter.on_end(0.0, 0.1 + number / 1000, Verdict.DROPPED)
    assert limiter.limit == 16
    limiter.on_sent(0.2)
    limiter.on_end(0.2, 0.3, Verdict.DROPPED)
    assert limiter.limit < 16, "a call sent after the decrease is another burst"


def test_other_failures_are_no_sign_of_a_full_upstream() -> None:
    """Ends that are ignored change neither limit nor room."""
    limiter = Limiter(Pacing())
    for round_no in range(10):
        sent = fill(limiter, float(round_no))
        for _ in range(sent):
            limiter.on_end(float(round_no), round_no + 0.5, Verdict.IGNORED)
    assert (limiter.limit, limiter.in_flight) == (32, 0)


# --- waits ----------------------------------------------------------------------------------------------------------


def test_nothing_is_sent_before_the_time_that_was_told() -> None:
    """Retry-After on a refusal holds the whole lane, and `next_at` names the moment."""
    limiter = Limiter(Pacing())
    limiter.on_sent(0.0)
    limiter.on_end(0.0, 1.0, Verdict.DROPPED, Signals(retry_after_s=7.0, exhausted_s=300.0))
    assert limiter.room(7.9) == 0
    assert limiter.next_at(1.0) == 8.0
    assert limiter.room(8.0) > 0
    assert limiter.next_at(8.0) is None
    limiter.pause_until(3.0)
    assert limiter.not_before_s == 8.0


def test_a_limit_with_nothing_left_is_waited_for_after_a_success_too() -> None:
    """`remaining: 0` waits for its reset, but never longer than a minute on a mere header."""
    limiter = Limiter(Pacing())
    limiter.on_sent(0.0)
    limiter.on_end(0.0, 1.0, Verdict.SUCCESS, Signals(requests_remaining=0, exhausted_s=5.0))
    assert limiter.not_before_s == 6.0
    limiter.on_sent(6.0)
    limiter.on_end(6.0, 7.0, Verdict.SUCCESS, Signals(requests_remaining=0, exhausted_s=86_000.0))
    assert limiter.not_before_s == 7.0 + RESET_WAIT_MAX_S


def test_a_fixed_limit_stays_and_still_waits() -> None:
    """`fixed_in_flight` switches learning off, not obedience."""
    limiter = Limiter(Pacing(fixed_in_flight=5), learnt=300)
    run = drive(limiter, Steady(0.3), 10.0)
    assert run.peak == 5
    limiter.on_sent(20.0)
    limiter.on_end(20.0, 20.1, Verdict.DROPPED, Signals(retry_after_s=4.0))
    assert limiter.limit == 5
    assert limiter.room(24.0) == 0


# --- published rates ------------------------------------------------------------------------------------------------


def test_requests_per_minute_are_kept_evenly() -> None:
    """600 a minute are ten a second: never a minute's worth at once, and not much less over time."""
    run = drive(Limiter(Pacing(rpm=600)), Steady(0.05), 30.0)
    assert 290 <= len(run.sent) <= 311
    for at_s in run.sent:
        assert sum(1 for other_s in run.sent if at_s <= other_s < at_s + 1.0) <= 20


def test_tokens_per_minute_hold_for_calls_larger_than_the_bucket() -> None:
    """A call of 3,000 tokens at 6,000 a minute is followed by half a minute of silence, told by `next_at`."""
    limiter = Limiter(Pacing(tpm=6000))
    limiter.on_sent(0.0, 3000)
    assert limiter.room(0.0) == 0
    ready_s = limiter.next_at(0.0)
    assert ready_s == pytest.approx(29.0, abs=0.1)
    assert limiter.room(ready_s) == 1


def test_an_estimate_is_corrected_by_the_use() -> None:
    """A call that took a tenth of its estimate gives the rest back."""
    limiter = Limiter(Pacing(tpm=6000))
    limiter.on_sent(0.0, 3000)
    limiter.on_end(0.0, 1.0, Verdict.SUCCESS, None, 1, Tokens(200, 0, 100, 0), 3000)
    assert limiter.next_at(1.0) == pytest.approx(2.0, abs=0.1)


@given(st.integers(1, 100_000), st.integers(1, 10_000_000), st.floats(0, 1e7))
def test_a_timer_set_by_next_at_finds_room(rpm: int, tpm: int, start_s: float) -> None:
    """Whatever the rounding, an engine that sleeps until `next_at` does not wake up in vain."""
    limiter = Limiter(Pacing(rpm=rpm, tpm=tpm))
    now_s = start_s
    for tokens in (10, 4000, 1):
        while limiter.room(now_s) > 0 and limiter.in_flight < 900:
            limiter.on_sent(now_s, tokens)
        at_s = limiter.next_at(now_s)
        if at_s is not None:
            now_s = at_s
            assert limiter.room(now_s) > 0


# --- whatever happens -----------------------------------------------------------------------------------------------

steps = st.lists(
    st.tuples(
        st.floats(0, 2.0),
        st.integers(0, 64),
        st.integers(0, 64),
        st.sampled_from(list(Verdict)),
        st.sampled_from([None, Signals(retry_after_s=1.5), Signals(exhausted_s=2.0)]),
    ),
    max_size=60,
)
paces = st.builds(
    Pacing,
    max_in_flight=st.integers(1, 200),
    start_in_flight=st.integers(1, 64),
    fixed_in_flight=st.none() | st.integers(1, 100),
    rpm=st.none() | st.integers(1, 5000),
)


@given(paces, st.none() | st.integers(0, 5000), steps)
def test_the_limiter_stays_in_bounds(
    pacing: Pacing, learnt: int | None, moves: list[tuple[float, int, int, Verdict, Signals | None]]
) -> None:
    """1 ≤ limit ≤ ceiling, in flight counts exactly, fixed stays fixed, room is never negative, and a decrease needs a
    drop of a call that was sent after the decrease before it."""
    limiter = Limiter(pacing, learnt)
    ceiling = pacing.fixed_in_flight or pacing.max_in_flight
    out: list[float] = []
    now_s, decreased_s = 0.0, -1.0
    for wait_s, send, end, verdict, signals in moves:
        now_s += wait_s
        for _ in range(min(send, limiter.room(now_s))):
            limiter.on_sent(now_s)
            out.append(now_s)
        for _ in range(min(end, len(out))):
            sent_s, before = out.pop(0), limiter.limit
            limiter.on_end(sent_s, now_s, verdict, signals)
            if verdict is Verdict.DROPPED and limiter.limit < before:
                assert sent_s > decreased_s
                decreased_s = now_s
            assert 1 <= limiter.limit <= ceiling
            assert pacing.fixed_in_flight is None or limiter.limit == pacing.fixed_in_flight
            assert limiter.in_flight == len(out)
            assert limiter.room(now_s) >= 0
            at_s = limiter.next_at(now_s)
            assert at_s is None or at_s > now_s
