"""Requests that wait: how long they may, and what ends them early."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from batchrouter.service import asked
from batchrouter.service.following import WAIT_MAX_S

T = TypeVar("T")

_PREFER = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?([0-9]{1,9})\"?", re.IGNORECASE)


def wait_of(request: Request) -> int:
    """Seconds: of `?wait=`, else of `Prefer: wait=` (RFC 7240), which is a wish and so is cut instead of refused."""
    value = request.query_params.get("wait")
    if value:
        told_s = asked.within(asked.digits(value, "wait"), 0, WAIT_MAX_S, "wait")
        return 0 if request.method == "HEAD" else told_s
    told = _PREFER.search(request.headers.get("prefer", ""))
    return 0 if told is None else min(int(told[1]), WAIT_MAX_S)


async def unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """What `work` returns. When the client goes away meanwhile, `work` is cancelled and ClientDisconnect raised."""
    working = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait((working, gone), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        for task in (working, gone):
            task.cancel()
        await asyncio.gather(working, gone, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
