"""How the event loop calls the store: threads of our own, one that writes and some that read.

Not asyncio's executor: a process waits at its end for the executor's threads, and each call makes a second future
(measured: half as much again for a call).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

from batchrouter.errors import StoreError

P = ParamSpec("P")
T = TypeVar("T")

_Job = tuple[asyncio.AbstractEventLoop, asyncio.Future[Any], Callable[..., Any], tuple[Any, ...], dict[str, Any]]


class Threads:
    """`ports.calls.Calls`. One thread writes, because writes happen in the order in which they were asked; `readers`
    threads read beside it (one for SQLite, whose reading connection is one). `close` lets what was asked happen first;
    a verb that is asked later raises StoreError."""

    def __init__(self, *, readers: int = 1) -> None:
        self._writes = _Crew("store-writer", 1)
        self._reads = _Crew("store-reader", readers)

    async def read(self, verb: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        result: T = await self._reads.ask(verb, args, kwargs)
        return result

    async def write(self, verb: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        result: T = await self._writes.ask(verb, args, kwargs)
        return result

    def close(self) -> None:
        """Waits for the verbs that were asked. Their callers still hear, if their loop goes on. A repeat changes
        nothing."""
        self._writes.close()
        self._reads.close()


class InlineCalls:
    """`ports.calls.Calls` without threads: the verb runs at once, on the loop. For tests and for the store in memory,
    whose verbs wait for nothing."""

    async def read(self, verb: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return verb(*args, **kwargs)

    async def write(self, verb: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return verb(*args, **kwargs)

    def close(self) -> None:
        """Nothing to close; here because `Threads` has it."""


class _Crew:
    """Some threads that take their work from one queue."""

    def __init__(self, name: str, count: int) -> None:
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._closed = False
        # Daemons: a process that ends without `close` ends. The store survives that like any other death.
        self._threads = [
            threading.Thread(target=_work, args=(self._jobs,), name=f"{name}-{number}", daemon=True)
            for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def ask(self, verb: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> asyncio.Future[Any]:
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        with self._lock:
            if self._closed:
                raise StoreError("the store is closed: the process is stopping")
            self._jobs.put((loop, future, verb, args, kwargs))
        return future

    def close(self) -> None:
        with self._lock:
            if not self._closed:
                self._closed = True
                for _ in self._threads:
                    self._jobs.put(None)
        for thread in self._threads:
            thread.join()


def _work(jobs: SimpleQueue[_Job | None]) -> None:
    while _one(jobs):
        pass


def _one(jobs: SimpleQueue[_Job | None]) -> bool:
    """A call of its own for each job, so that a thread that waits holds on to nothing of the last one."""
    job = jobs.get()
    if job is None:
        return False
    loop, future, verb, args, kwargs = job
    if future.cancelled():  # nobody waits any more, and others wait behind it
        return True
    result, error = None, None
    try:
        result = verb(*args, **kwargs)
    except BaseException as raised:
        error = raised
    try:
        loop.call_soon_threadsafe(_tell, future, result, error)
    except RuntimeError:
        if not loop.is_closed():  # else nobody is left to hear
            raise
    return True


def _tell(future: asyncio.Future[Any], result: object, error: BaseException | None) -> None:
    if future.done():  # the caller was cancelled while it waited
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
