"""What stands in the database is read seldom, and nobody waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from batchrouter.adapters.memory.clock import StepClock
from batchrouter.bootstrap import metrics
from batchrouter.bootstrap.metrics import FRESH_S, Metrics
from batchrouter.domain.backlog import Backlog
from batchrouter.errors import StoreAway
from batchrouter.ports.meters import Meters
from tests.unit.metrics.scrape import Scrape


class Disk:
    """A storage whose database answers when `answers` says so, with one batch more each time."""

    def __init__(self, clock: StepClock) -> None:
        self.clock = clock
        self.people_calls = self.backlogs = self
        self.spill_used: Callable[[], tuple[int, int]] = lambda: (2, 30)
        self.asked = 0
        self.answers = asyncio.Event()
        self.answers.set()
        self.away = False

    def backlog(self, now_ms: int) -> Backlog:
        self.asked += 1
        return Backlog(batches={"in_progress": self.asked}, oldest_ms=now_ms - 5_000)

    async def read(self, verb: Callable[[int], Backlog], now_ms: int) -> Backlog:
        await self.answers.wait()
        if self.away:
            raise StoreAway("away")
        return verb(now_ms)


@pytest.fixture
async def opened() -> AsyncIterator[tuple[Metrics, Disk, StepClock]]:
    clock = StepClock()
    told, disk = Metrics(Meters(), "api", clock), Disk(clock)
    storage: Any = disk
    told.open(storage)
    yield told, disk, clock
    disk.answers.set()
    await told.aclose()


async def scraped(told: Metrics) -> Scrape:
    return Scrape((await told.text()).decode())


async def _until(told: Metrics, name: str) -> None:
    for _ in range(1_000):
        if (await scraped(told)).of(name) == 1:
            return
        await asyncio.sleep(0)
    raise AssertionError(f"{name} never came to 1")


async def test_many_scrapes_are_one_reading(opened: tuple[Metrics, Disk, StepClock]) -> None:
    told, disk, clock = opened
    first, second = await asyncio.gather(scraped(told), scraped(told))
    assert first.of("batchrouter_batches") == second.of("batchrouter_batches") == 1
    assert (first.of("batchrouter_spill_files"), first.of("batchrouter_spill_bytes")) == (2, 30)
    assert first.of("batchrouter_oldest_batch_age_seconds") == 5
    clock.advance(FRESH_S - 1)
    later = await scraped(told)
    assert later.of("batchrouter_database_reading_age_seconds") == FRESH_S - 1
    assert later.of("batchrouter_oldest_batch_age_seconds") == FRESH_S + 4
    assert disk.asked == 1
    clock.advance(1)
    assert (await scraped(told)).of("batchrouter_batches") == disk.asked == 2


async def test_a_database_that_hangs_or_is_away_holds_up_no_scrape(
    opened: tuple[Metrics, Disk, StepClock], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last reading is told, with its age; one question at a time is under way."""
    monkeypatch.setattr(metrics, "PATIENCE_S", 0.001)
    told, disk, clock = opened
    disk.answers.clear()
    assert "batchrouter_batches" not in (await scraped(told)).samples
    disk.answers.set()
    await _until(told, "batchrouter_batches")
    disk.answers.clear()
    clock.advance(60)
    stale = await scraped(told)
    clock.advance(60)
    stale = await scraped(told)
    assert (stale.of("batchrouter_batches"), stale.of("batchrouter_database_reading_age_seconds")) == (1, 120)
    assert disk.asked == 1
    disk.away = True
    disk.answers.set()
    await _until(told, "batchrouter_database_reading_failures_total")
    assert disk.asked == 1


async def test_a_process_without_its_database_yet_tells_the_rest() -> None:
    told = Metrics(Meters(), "worker", StepClock())
    assert (await scraped(told)).of("batchrouter_build_info", role="worker") == 1
    await told.aclose()


async def test_the_lag_of_the_loop_is_watched() -> None:
    clock, meters = StepClock(), Meters()
    told = Metrics(meters, "api", clock)
    told.start()
    for _ in range(5):
        await asyncio.sleep(0)
    clock.advance(metrics.LAG_EVERY_S + 2.0)
    for _ in range(5):
        await asyncio.sleep(0)
    assert meters.loop_lag_s.total == pytest.approx(2.0)
    await told.aclose()
