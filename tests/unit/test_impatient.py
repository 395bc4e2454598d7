"""Who waits for the store, and for how long."""

from __future__ import annotations

import threading

import pytest

from batchrouter.adapters.impatient import ImpatientCalls
from batchrouter.adapters.threads import Threads
from batchrouter.errors import StoreAway


async def test_a_store_that_does_not_answer_is_given_up() -> None:
    """What was asked behind it by somebody who gave up is not done any more, and what others ask is."""
    threads, done = Threads(), threading.Event()
    calls = ImpatientCalls(threads, 0.01)
    asked: list[str] = []
    with pytest.raises(StoreAway, match="did not answer"):
        await calls.write(done.wait)
    with pytest.raises(StoreAway):
        await calls.write(asked.append, "too late")
    done.set()
    await threads.write(asked.append, "in time")
    assert asked == ["in time"]
    threads.close()


async def test_a_timeout_of_the_verb_is_its_own() -> None:
    """Not taken for ours."""

    def fail() -> None:
        raise TimeoutError("of the verb")

    threads = Threads()
    with pytest.raises(TimeoutError, match="of the verb"):
        await ImpatientCalls(threads, 60).read(fail)
    threads.close()
