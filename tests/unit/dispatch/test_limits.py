"""A lane uses what an upstream allows, and is hardly ever refused: by published limits, by measured ones, in waves."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrouter.domain.measured_rate import MeasuredRate
from batchrouter.domain.pacing import Limiter, Pacing
from batchrouter.domain.published_limits import PublishedLimits, cost_of
from batchrouter.domain.rate_headers import Budget, Signals
from batchrouter.domain.tokens import Tokens
from batchrouter.domain.verdict import Verdict
from tests.unit.dispatch.upstreams import InWaves, Metered, Queueing, Run, Steady, drive

LATENCIES = [(0.3, 0.5), (1.0, 0.5), (0.3, 0.0)]


def varied(seed: int = 3) -> random.Random:
    return random.Random(seed)


def used(run: Run, allowed: float) -> float:
    return run.count(Verdict.SUCCESS) / allowed


@pytest.mark.parametrize(("latency_s", "spread"), LATENCIES)
@pytest.mark.parametrize("rpm", [600, 6000])
def test_a_published_limit_of_requests_is_used_up_and_never_run_into(latency_s: float, spread: float, rpm: int) -> None:
    run = drive(Limiter(Pacing()), Metered(Steady(latency_s, spread), rpm=rpm), 120)
    assert used(run, rpm * 3) > 0.95
    assert run.count(Verdict.DROPPED) == 0


@pytest.mark.parametrize(("latency_s", "spread"), LATENCIES)
@pytest.mark.parametrize("coarse", [False, True])
def test_a_published_limit_of_tokens_is_used_up(latency_s: float, spread: float, coarse: bool) -> None:
    """Answers of any length; told exactly, or in thousands and whole seconds."""
    chance, taken = varied(), [0.0]

    def tokens() -> Tokens:
        drawn = Tokens(int(chance.uniform(30, 200)), 0, int(chance.expovariate(1 / 150)), 0)
        taken[0] += drawn.input + drawn.output
        return drawn

    upstream = Metered(Steady(latency_s, spread), tpm=600_000, tokens=tokens, coarse=coarse)
    run = drive(Limiter(Pacing()), upstream, 120)
    mean = taken[0] / len(run.sent)
    assert used(run, 600_000 * 3 / mean) > 0.95
    assert run.drop_ratio < 0.015


@pytest.mark.parametrize(("latency_s", "spread"), LATENCIES)
def test_a_limit_that_nobody_tells_is_measured(latency_s: float, spread: float) -> None:
    """Only refusals say when to come back. Once the stored minute is used up, one call in a thousand is refused."""
    run = drive(Limiter(Pacing()), Metered(Steady(latency_s, spread), rpm=6000, silent=True), 120)
    assert used(run, 6000 * 3) > 0.95
    assert run.count(Verdict.DROPPED, 20.0) < 0.003 * run.count(Verdict.SUCCESS, 20.0)


def test_a_measured_limit_that_is_raised_is_found_again() -> None:
    upstream = Metered(Steady(0.3, 0.5), rpm=6000, silent=True)
    limiter = Limiter(Pacing())
    drive(limiter, upstream, 90)
    upstream.rpm, upstream.at_s = 12_000, 0.0
    run = drive(limiter_again(limiter), upstream, 90)
    assert run.count(Verdict.SUCCESS, 60.0, 90.0) > 0.85 * 200 * 30


def test_a_measured_limit_is_forgotten_when_nothing_is_refused_for_hours() -> None:
    rate = MeasuredRate(0.0)
    for _ in range(50):
        rate.on_answer(0.5)
    rate.on_refusal(1.0)
    assert rate.room(2.0, 1000) < 50
    for hours in (1, 2, 24, 24 * 30):
        assert rate.room(hours * 3600.0, 1000) == 1000
        assert rate.ready_at(hours * 3600.0) == hours * 3600.0


def test_an_upstream_that_fails_for_a_while_does_not_use_its_published_limits_up() -> None:
    """Its failures tell nothing of what is left; the bucket fills all the same."""
    limiter = Limiter(Pacing())
    number = limiter.on_sent(0.0)
    told = Signals(budgets=(Budget("requests", 60, 59, 1.0),))
    limiter.on_end(0.0, 0.1, Verdict.SUCCESS, told, number, Tokens(1, 0, 1, 0))
    now_s, sent = 1.0, 0
    while now_s < 600:
        if limiter.room(now_s):
            limiter.on_sent(now_s)
            limiter.on_end(now_s, now_s, Verdict.IGNORED)
            sent += 1
        now_s += 0.5
    assert 500 < sent < 700  # as many as the limit lets through, to the end
    assert limiter.room(now_s + 60) >= 30


def limiter_again(limiter: Limiter) -> Limiter:
    """Whose clock begins anew."""
    return Limiter(Pacing(), limiter.limit)


@pytest.mark.parametrize("latency_s", [0.3, 1.0])
def test_waves_of_refusals_cost_little_time_and_few_calls(latency_s: float) -> None:
    """529 to everything for three of thirty seconds."""
    calm = drive(Limiter(Pacing()), Queueing(200, Steady(latency_s, 0.5)), 120)
    run = drive(Limiter(Pacing()), InWaves(Queueing(200, Steady(latency_s, 0.5)), 30, 3), 120)
    assert run.count(Verdict.SUCCESS) > 0.96 * 0.9 * calm.count(Verdict.SUCCESS)
    assert run.drop_ratio < 0.01


def test_answers_that_take_long_do_not_keep_an_outage_alive() -> None:
    """Answers take 20 s, refusals come at once: who is not refused goes on before the first answer."""
    run = drive(Limiter(Pacing(start_in_flight=256)), InWaves(Steady(20.0, 0.0), 120, 20), 240)
    back = [at_s for at_s in run.sent if 120 <= at_s < 130]
    assert len(back) > 100


def test_what_is_left_is_told_by_the_latest_call() -> None:
    """An older call's reply that comes late says nothing any more."""
    limits = PublishedLimits()
    limits.on_told([Budget("requests", 600, 100, 50.0)], 10, 1.0)
    assert limits.room(1.0, 10, 1000) == 100
    assert limits.room(1.0, 60, 1000) == 50
    limits.on_told([Budget("requests", 600, 400, 20.0)], 9, 0.9)
    assert limits.room(1.0, 60, 1000) == 50
    assert limits.room(2.0, 60, 1000) == 60
    limits.on_told([Budget("requests", 600, 0, 60.0)], 61, 2.0)
    assert limits.room(2.0, 61, 1000) == 0
    assert limits.ready_at(2.0, 61) == pytest.approx(2.1)


@given(st.floats(0, 1e6), st.sampled_from([7, 60, 600, 777, 14_400]), st.booleans())
def test_a_timer_set_for_the_moment_of_room_finds_it(now_s: float, rpm: int, told: bool) -> None:
    """Whatever the rounding; else a slow lane would wait for the next tick."""
    limiter = Limiter(Pacing())
    signals = Signals(budgets=(Budget("requests", rpm, 0, 1.0),)) if told else Signals(retry_after_s=1.0)
    for _ in range(3):
        for _ in range(5):
            limiter.on_end(now_s, now_s + 0.5, Verdict.SUCCESS, None, limiter.on_sent(now_s))
        now_s += 1.5
        verdict = Verdict.SUCCESS if told else Verdict.DROPPED
        limiter.on_end(now_s - 0.1, now_s, verdict, signals, limiter.on_sent(now_s))
    for _ in range(20):
        at_s = limiter.next_at(now_s)
        assert at_s is not None or limiter.room(now_s)
        now_s = now_s if at_s is None else at_s
        assert limiter.room(now_s)
        for _ in range(limiter.room(now_s)):
            limiter.on_end(now_s, now_s, Verdict.IGNORED, None, limiter.on_sent(now_s))


def test_the_period_of_a_limit_is_learnt_from_its_reset() -> None:
    """14,400 requests a day (Groq) are no 14,400 a minute."""
    limits = PublishedLimits()
    limits.on_told([Budget("requests", 14_400, 0, 86_400.0)], 1, 0.0)
    assert limits.ready_at(0.0, 1) == pytest.approx(6.0)


def test_limits_of_input_and_output_are_charged_apart() -> None:
    tokens = Tokens(100, 30, 7, 0)
    kinds = ("requests", "input-tokens", "output-tokens", "tokens", "project-tokens")
    assert [cost_of(kind, tokens) for kind in kinds] == [1, 70, 7, 107, 107]


@given(
    st.lists(st.builds(Budget, st.sampled_from("abcdefghijkl"), st.integers(0, 10**18), st.integers(0, 10**18),
                       st.none() | st.floats(0, 86_400)), max_size=20),
    st.integers(0, 10**6),
)  # fmt: skip
def test_whatever_is_told_gives_room_and_a_time(budgets: list[Budget], sent: int) -> None:
    limits = PublishedLimits()
    limits.on_told(budgets, sent, 5.0)
    limits.on_cost(Tokens(3, 0, 4, 0))
    assert 0 <= limits.room(6.0, sent + 5, 100) <= 100
    assert limits.ready_at(6.0, sent + 5) >= 6.0
