"""Waiting for news of a batch: one read for all who wait, bounded, and over at once when the server stops."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from batchrouter.adapters.memory.clock import StepClock
from batchrouter.adapters.threads import InlineCalls
from batchrouter.errors import StoreAway
from batchrouter.ports.results import Pulse
from batchrouter.service import watching
from batchrouter.service.watching import POLL_S, Watching

NEW = Pulse("in_progress", 10, 0, 0, 1, 2, None)


class Pulses:
    """The one verb that waiting needs."""

    def __init__(self) -> None:
        self.now: dict[str, Pulse] = {"a": NEW, "b": NEW}
        self.reads: list[list[str]] = []
        self.away = False

    def pulses(self, ids: Sequence[str]) -> dict[str, Pulse]:
        self.reads.append(list(ids))
        if self.away:
            raise StoreAway("it is away")
        return {id: self.now[id] for id in ids if id in self.now}


class Watch:
    def __init__(self) -> None:
        self.store, self.clock = Pulses(), StepClock()
        self.watching = Watching(self.store, InlineCalls(), self.clock)  # type: ignore[arg-type]

    def wait(self, batch_id: str, seconds: float = 60.0) -> asyncio.Task[Pulse | None]:
        return asyncio.create_task(self.watching.changed(batch_id, NEW, seconds))

    async def step(self, seconds: float = POLL_S) -> None:
        for _ in range(5):
            await asyncio.sleep(0)
        self.clock.advance(seconds)
        for _ in range(5):
            await asyncio.sleep(0)


def test_a_thousand_who_wait_cost_one_read() -> None:
    async def run() -> None:
        watch = Watch()
        some, others = [watch.wait("a") for _ in range(1000)], [watch.wait("b") for _ in range(10)]
        await watch.step()
        await watch.step()
        assert [sorted(read) for read in watch.store.reads] == [["a", "b"]] * 2
        changed = watch.store.now["a"] = NEW._replace(completed=1)
        await watch.step()
        assert await asyncio.gather(*some) == [changed] * 1000
        assert not any(task.done() for task in others)
        assert watch.watching.waiting == 10
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        assert watch.watching.waiting == 0
        await watch.step()
        reads = len(watch.store.reads)
        await watch.step(10)
        assert len(watch.store.reads) == reads, "nobody waits, nobody looks"
        again = watch.wait("a")
        await watch.step()
        assert await again == changed

    asyncio.run(run())


def test_waiting_ends_in_time_and_when_the_server_stops() -> None:
    async def run() -> None:
        watch = Watch()
        short, long = watch.wait("a", 3), watch.wait("a", 60)
        for _ in range(6):
            await watch.step()
        assert await short == NEW
        assert not long.done()
        watch.watching.stop()
        assert await long is None
        assert await watch.wait("a") is None, "nor may anybody begin to"

    asyncio.run(run())


def test_who_is_one_too_many_is_answered_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        watch = Watch()
        monkeypatch.setattr(watching, "WAITERS_MAX", 2)
        waiting = [watch.wait("a"), watch.wait("b")]
        await watch.step(0)
        assert await watch.wait("a") is None
        watch.store.now["a"] = NEW._replace(paused_ms=1)
        await watch.step()
        assert (await waiting[0]) == watch.store.now["a"]
        waiting[1].cancel()

    asyncio.run(run())


def test_a_store_that_is_away_is_asked_again() -> None:
    async def run() -> None:
        watch = Watch()
        task = watch.wait("a")
        watch.store.away = True
        await watch.step()
        await watch.step()
        watch.store.away = False
        watch.store.now["a"] = NEW._replace(events=3)
        await watch.step()
        assert await task == watch.store.now["a"]

    asyncio.run(run())
