"""Calls of the store for whoever cannot wait: a database that does not answer must not hang its clients too."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

from batchrouter.errors import StoreAway
from batchrouter.ports.calls import Calls

P = ParamSpec("P")
T = TypeVar("T")


class ImpatientCalls:
    """`ports.calls.Calls` over another, given up after `patience_s` with `StoreAway`. What was asked may still happen,
    as with any caller that is gone."""

    def __init__(self, calls: Calls, patience_s: float) -> None:
        self._calls = calls
        self._patience_s = patience_s

    async def read(self, verb: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._within(self._calls.read(verb, *args, **kwargs))

    async def write(self, verb: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._within(self._calls.write(verb, *args, **kwargs))

    async def _within(self, answer: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(self._patience_s) as patience:
                return await answer
        except TimeoutError:
            if not patience.expired():
                raise
            raise StoreAway(f"the database did not answer within {self._patience_s:.0f} s") from None
