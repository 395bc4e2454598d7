"""Wake: a hint that is never needed, and seldom lost."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from batchrouter.adapters.sql.wake import PostgresWake
from batchrouter.adapters.wake import LocalWake
from tests.postgres import the_server

LONG_S = 60.0
Wake = LocalWake | PostgresWake


@pytest.fixture(params=["local", "postgres"])
def wake(request: pytest.FixtureRequest) -> Iterator[Wake]:
    if request.param == "local":
        yield LocalWake()
        return
    made = PostgresWake(the_server())
    assert made.listening(20)
    asyncio.run(made.wait(0))  # that it listens is a hint
    yield made
    made.close()


async def test_a_hint_wakes_who_waits(wake: Wake) -> None:
    """At once, from any thread; each of several."""
    waiting = [asyncio.create_task(wake.wait(LONG_S)) for _ in range(3)]
    await asyncio.sleep(0)
    thread = threading.Thread(target=wake.hint)
    thread.start()
    assert await asyncio.wait_for(asyncio.gather(*waiting), 5) == [True, True, True]
    thread.join()


async def test_hints_that_nobody_waited_for_are_kept_as_one(wake: Wake) -> None:
    """The next wait returns at once, the one after it waits."""
    for _ in range(3):
        wake.hint()
    assert await wake.wait(LONG_S)
    assert not await wake.wait(0)


async def test_without_a_hint_the_wait_ends_by_its_time(wake: Wake) -> None:
    """False tells that it was no hint; a wait that has ended takes no hint from the next."""
    assert not await wake.wait(0.001)
    wake.hint()
    assert await wake.wait(LONG_S)


@pytest.mark.parametrize("turns", [0, 1])
async def test_a_hint_for_a_waiter_that_was_cancelled_is_kept(wake: Wake, turns: int) -> None:
    """Whoever comes next gets it, whether the waiter had already been reached or not."""
    task = asyncio.create_task(wake.wait(LONG_S))
    await asyncio.sleep(0)
    wake.hint()
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await asyncio.sleep(0)
    assert await wake.wait(LONG_S)


def test_a_hint_after_its_loop_is_closed_is_kept(wake: Wake) -> None:
    """A thread that outlives the loop does no harm."""

    async def give_up() -> None:
        task = asyncio.create_task(wake.wait(LONG_S))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(give_up())
    wake.hint()
    assert asyncio.run(wake.wait(LONG_S))
