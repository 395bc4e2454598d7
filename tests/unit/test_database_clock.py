"""The database's time over this machine's boot clock."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from batchrouter.adapters.database_clock import DatabaseClock
from batchrouter.adapters.memory import StepClock
from batchrouter.errors import StoreAway

AHEAD_MS = 5_000


class Database:
    """Its clock goes before this machine's by `ahead_ms`; a question takes the given seconds there and back."""

    def __init__(self, clock: StepClock) -> None:
        self.clock = clock
        self.ahead_ms = AHEAD_MS
        self.trips: list[tuple[float, float]] = []
        self.away = False
        self.asked = 0

    def ask(self) -> int:
        self.asked += 1
        there_s, back_s = self.trips.pop(0) if self.trips else (0.0, 0.0)
        self.clock.advance(there_s)
        if self.away:
            raise StoreAway("away")
        told = self.now_ms()
        self.clock.advance(back_s)
        return told

    def now_ms(self) -> int:
        return int(self.clock.boot_s() * 1000) + self.ahead_ms


@pytest.fixture
def inner() -> StepClock:
    return StepClock()


@pytest.fixture
def database(inner: StepClock) -> Database:
    return Database(inner)


@pytest.fixture
def clock(inner: StepClock, database: Database) -> DatabaseClock:
    made = DatabaseClock(database.ask, inner)
    made.sync()
    return made


def off_ms(clock: DatabaseClock, database: Database) -> int:
    return abs(clock.unix_ms() - database.now_ms())


def test_it_tells_the_databases_time(clock: DatabaseClock, database: Database, inner: StepClock) -> None:
    """As long as nobody asks it again, too."""
    assert off_ms(clock, database) <= 1
    inner.advance(3_600)
    assert off_ms(clock, database) <= 1


@pytest.mark.parametrize(
    "happening", [lambda inner: inner.skew_wall(-7_200_000), lambda inner: inner.suspend(7_200)], ids=["step", "sleep"]
)
def test_neither_a_step_nor_sleep_moves_it(
    clock: DatabaseClock, database: Database, inner: StepClock, happening: Callable[[StepClock], None]
) -> None:
    """It counts what the boot clock counts."""
    happening(inner)
    assert off_ms(clock, database) <= 1


def test_before_it_was_told_it_is_the_machines(inner: StepClock, database: Database) -> None:
    """For whoever starts while the database is away."""
    assert DatabaseClock(database.ask, inner).unix_ms() == inner.unix_ms()


def test_of_several_answers_the_fastest_counts(inner: StepClock, database: Database) -> None:
    """Half of its round trip is how wrong it may be, whatever the others say."""
    database.trips = [(0.0, 2.0), (3.0, 0.0), (0.004, 0.006), (1.0, 0.0), (0.0, 1.0)]
    clock = DatabaseClock(database.ask, inner)
    clock.sync()
    assert database.asked == 5
    assert off_ms(clock, database) <= 2


def test_a_quick_answer_is_enough(inner: StepClock, database: Database) -> None:
    """Every process asks again and again, and each question is a transaction of the database."""
    database.trips = [(0.0, 2.0), (0.001, 0.002), (1.0, 0.0)]
    clock = DatabaseClock(database.ask, inner)
    clock.sync()
    assert database.asked == 2
    assert off_ms(clock, database) <= 2


def test_a_slow_answer_does_not_spoil_what_is_known(clock: DatabaseClock, database: Database) -> None:
    """A busy machine is no reason to be a second off."""
    database.trips = [(0.0, 2.0)] * 5
    clock.sync()
    assert off_ms(clock, database) <= 1


def test_a_database_with_another_time_is_believed(clock: DatabaseClock, database: Database) -> None:
    """Another server has taken over: its answer cannot be explained by how slow it was."""
    database.ahead_ms += 60_000
    database.trips = [(0.1, 0.1)] * 5
    clock.sync()
    assert off_ms(clock, database) <= 101


def test_drift_is_made_good(clock: DatabaseClock, database: Database, inner: StepClock) -> None:
    """After some time even a slower answer knows better than an old one."""
    inner.advance(3_600)
    database.ahead_ms += 300
    database.trips = [(0.01, 0.01)] * 5
    clock.sync()
    assert off_ms(clock, database) <= 11


def test_a_failed_sync_leaves_it_running_on(clock: DatabaseClock, database: Database, inner: StepClock) -> None:
    """Its caller hears of it; one answer of several is enough."""
    database.away = True
    with pytest.raises(StoreAway):
        clock.sync()
    inner.advance(60)
    assert off_ms(clock, database) <= 1


def test_all_else_is_the_machines(clock: DatabaseClock, inner: StepClock) -> None:
    """Pacing and leases do not know of the database."""
    ran: list[str] = []
    clock.call_at(clock.mono_s() + 1, lambda: ran.append("once"))
    inner.advance(1)
    assert ran == ["once"]
    assert (clock.mono_s(), clock.boot_s()) == (inner.mono_s(), inner.boot_s())
