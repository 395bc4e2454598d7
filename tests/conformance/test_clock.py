"""Clocks and chance: the real ones and the doubles, under the same truths."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

import pytest

from batchrouter.adapters.clock import RealChance, RealClock
from batchrouter.adapters.database_clock import DatabaseClock
from batchrouter.adapters.memory import FixedChance, StepClock
from batchrouter.ports.clock import Chance, Clock

Advance = Callable[[float], None]


@pytest.fixture(params=["real", "step", "database"])
def timed(request: pytest.FixtureRequest) -> tuple[Clock, Advance]:
    """A clock, and how its time is made to pass: by itself, or by hand."""
    if request.param == "real":
        return RealClock(), lambda seconds: None
    clock = StepClock()
    advance = lambda seconds: (clock.advance(seconds), None)[1]  # noqa: E731
    if request.param == "database":
        ours = DatabaseClock(clock.unix_ms, clock)
        ours.sync()
        return ours, advance
    return clock, advance


async def test_actions_run_in_order_of_their_time(timed: tuple[Clock, Advance]) -> None:
    """Not before it, and what is past at once; one that was cancelled not at all."""
    clock, advance = timed
    told: list[tuple[str, bool]] = []
    last = asyncio.Event()
    start_s = clock.mono_s()

    def note(word: str, due_s: float) -> Callable[[], None]:
        return lambda: told.append((word, clock.mono_s() >= due_s))

    clock.call_at(start_s + 0.012, last.set)
    clock.call_at(start_s + 0.006, note("second", start_s + 0.006))
    clock.call_at(start_s - 5, note("past", start_s - 5))
    clock.call_at(start_s + 0.0015, note("first", start_s + 0.0015))
    gone = clock.call_at(start_s + 0.002, note("cancelled", 0))
    gone.cancel()
    gone.cancel()
    assert told == []
    advance(0.012)
    await asyncio.wait_for(last.wait(), 5)
    assert told == [("past", True), ("first", True), ("second", True)]


async def test_an_action_that_has_run_can_be_cancelled(timed: tuple[Clock, Advance]) -> None:
    """Harmless."""
    clock, advance = timed
    ran = asyncio.Event()
    timer = clock.call_at(clock.mono_s(), ran.set)
    advance(0)
    await asyncio.wait_for(ran.wait(), 5)
    timer.cancel()


async def test_a_sleeper_wakes_when_its_time_has_come(timed: tuple[Clock, Advance]) -> None:
    """And not before."""
    clock, advance = timed
    start_s = clock.mono_s()
    sleeper = asyncio.create_task(clock.sleep(0.003))
    await asyncio.sleep(0)
    advance(0.003)
    await asyncio.wait_for(sleeper, 5)
    assert clock.mono_s() >= start_s + 0.003


def test_times_are_what_they_say(timed: tuple[Clock, Advance]) -> None:
    """Milliseconds since 1970, and seconds that never go backwards."""
    clock, advance = timed
    before = clock.unix_ms(), clock.mono_s(), clock.boot_s()
    advance(1.5)
    after = clock.unix_ms(), clock.mono_s(), clock.boot_s()
    assert before[0] > 1_600_000_000_000
    assert all(early <= late for early, late in zip(before, after, strict=True))


def test_a_stepped_clock_moves_all_its_times_together() -> None:
    """Many small steps lose nothing; a suspended machine and a skewed wall clock pull the times apart."""
    clock = StepClock(unix_ms=1000, mono_s=0.0)
    for _ in range(10_000):
        clock.advance(0.0001)
    assert (clock.unix_ms(), round(clock.mono_s(), 6), round(clock.boot_s(), 6)) == (2000, 1.0, 1.0)
    clock.suspend(60)
    clock.skew_wall(-500)
    assert (clock.unix_ms(), round(clock.mono_s(), 6), round(clock.boot_s(), 6)) == (61_500, 1.0, 61.0)
    with pytest.raises(ValueError):
        clock.advance(-1)


def test_a_stepped_clock_runs_what_its_actions_ask_for() -> None:
    """An action that asks for another on the way has it run at its time, in the same step."""
    clock = StepClock(mono_s=0.0)
    told: list[float] = []

    def tick() -> None:
        told.append(clock.mono_s())
        clock.call_at(clock.mono_s() + 1, tick)

    clock.call_at(1.0, tick)
    assert clock.advance(3.5) == 3
    assert told == [1.0, 2.0, 3.0]
    assert clock.next_timer_s() == 4.0
    assert StepClock().next_timer_s() is None


@pytest.mark.parametrize("chance", [RealChance(), FixedChance((0.0, 0.25, 0.999))], ids=["real", "fixed"])
def test_chance_keeps_to_its_bounds(chance: Chance) -> None:
    """Fractions in [0, 1), words of the length and the letters asked for, none twice."""
    assert all(0 <= chance.fraction() < 1 for _ in range(100))
    for size in (16, 24, 33):
        tokens, hexes = {chance.token(size) for _ in range(100)}, {chance.hex(size) for _ in range(100)}
        assert len(tokens) == len(hexes) == 100
        assert all(re.fullmatch(f"[0-9a-zA-Z]{{{size}}}", token) for token in tokens)
        assert all(re.fullmatch(f"[0-9a-f]{{{size}}}", word) for word in hexes)


def test_fixed_chance_can_be_foretold() -> None:
    """Its fractions come in turn, and again."""
    chance = FixedChance((0.1, 0.2))
    assert [chance.fraction() for _ in range(3)] == [0.1, 0.2, 0.1]
