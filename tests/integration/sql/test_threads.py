"""The event loop and the threads that call the store for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from batchrouter.adapters.threads import InlineCalls, Threads
from batchrouter.errors import StoreError


@pytest.fixture
def threads() -> Iterator[Threads]:
    made = Threads()
    yield made
    made.close()


async def test_a_verb_runs_off_the_loop_and_its_answer_comes_back(threads: Threads) -> None:
    """Arguments by place and by name arrive; reads and writes have threads of their own."""
    seen: list[str] = []

    def verb(number: int, *, twice: bool) -> int:
        seen.append(threading.current_thread().name)
        return number * (2 if twice else 1)

    assert await threads.write(verb, 21, twice=True) == 42
    assert await threads.read(verb, 21, twice=False) == 21
    assert seen == ["store-writer-0", "store-reader-0"]


async def test_an_error_is_raised_where_the_verb_was_asked(threads: Threads) -> None:
    """And the thread goes on with the next."""

    def verb() -> None:
        raise StoreError("it failed")

    with pytest.raises(StoreError, match="it failed"):
        await threads.write(verb)
    assert await threads.write(int, "7") == 7


async def test_writes_happen_in_the_order_asked(threads: Threads) -> None:
    """Whoever is answered first, the verbs ran as they were asked."""
    ran: list[int] = []
    await asyncio.gather(*(threads.write(ran.append, number) for number in range(200)))
    assert ran == list(range(200))


async def test_a_write_that_waits_does_not_hold_up_a_read(threads: Threads) -> None:
    """A slow disk under the writer leaves people their answers."""
    gate = threading.Event()
    writing = asyncio.ensure_future(threads.write(gate.wait, 5))
    assert await threads.read(str, 1) == "1"
    assert not writing.done()
    gate.set()
    assert await writing


async def test_a_cancelled_caller_does_not_stop_the_verb(threads: Threads) -> None:
    """One that has begun happens as a whole, its answer goes nowhere, and nobody complains; one that has not is
    dropped."""
    begun, gate, ran = threading.Event(), threading.Event(), []
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))

    def verb() -> None:
        begun.set()
        gate.wait(5)
        ran.append("whole")

    first = asyncio.ensure_future(threads.write(verb))
    second = asyncio.ensure_future(threads.write(verb))
    await asyncio.to_thread(begun.wait, 5)
    first.cancel()
    second.cancel()
    gate.set()
    assert await threads.write(len, ran) == 1
    assert first.cancelled()
    assert second.cancelled()
    assert complaints == []


async def test_close_lets_what_was_asked_happen_and_refuses_the_rest() -> None:
    """Nothing that a caller waits for is dropped in silence."""
    threads = Threads()
    ran: list[int] = []
    asked = [asyncio.ensure_future(threads.write(ran.append, number)) for number in range(50)]
    await asyncio.sleep(0)
    threads.close()
    assert ran == list(range(50))
    await asyncio.gather(*asked)
    with pytest.raises(StoreError, match="closed"):
        await threads.write(ran.append, 50)
    threads.close()


def test_a_loop_that_is_gone_does_not_kill_the_thread() -> None:
    """An answer for nobody is dropped; the next loop is served."""
    threads = Threads()
    gate = threading.Event()

    async def ask_and_go() -> None:
        asking = asyncio.ensure_future(threads.write(gate.wait, 5))
        await asyncio.sleep(0)
        asking.cancel()

    asyncio.run(ask_and_go())
    gate.set()

    async def ask() -> str:
        return await asyncio.wait_for(threads.write(str, 1), 5)

    assert asyncio.run(ask()) == "1"
    threads.close()


async def test_readers_may_be_several() -> None:
    """Two reads wait for each other only where both run at once."""
    threads = Threads(readers=2)
    both = threading.Barrier(2, timeout=5)
    await asyncio.gather(threads.read(both.wait), threads.read(both.wait))
    threads.close()


async def test_inline_calls_run_at_once() -> None:
    """The same port without threads."""
    calls = InlineCalls()
    here = threading.current_thread().name
    assert await calls.read(lambda: threading.current_thread().name) == here
    assert await calls.write(lambda: threading.current_thread().name) == here
    calls.close()
