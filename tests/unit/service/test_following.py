"""Those who follow one batch share what is read of it."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from batchrouter.adapters.memory.clock import StepClock
from batchrouter.domain.tenant import Role
from batchrouter.ports.results import Pulse
from batchrouter.service.caller import Caller
from batchrouter.service.following import FRESH_S, Following

PULSE = Pulse("in_progress", 10, 0, 0, 1, 2, None)
ONE, OTHER = (Caller(key_id="k", tenant_id=tenant, role=Role.USER) for tenant in ("one", "other"))


class Batches:
    def __init__(self) -> None:
        self.reads: list[str] = []
        self.fails = False

    async def get(self, caller: Caller, batch_id: str) -> object:
        self.reads.append(caller.tenant_id)
        await asyncio.sleep(0)
        if self.fails:
            raise OSError("it is away")
        return (caller.tenant_id, batch_id, len(self.reads))


def test_many_who_hear_of_news_at_once_cost_one_read() -> None:
    """Of each tenant, pulse and second; one that failed is not kept."""

    async def run() -> None:
        batches, clock = Batches(), StepClock()
        nothing = cast(Any, None)
        following = Following(cast(Any, batches), nothing, nothing, nothing, nothing, clock)
        views = await asyncio.gather(*(following.view(ONE, "b", PULSE) for _ in range(1000)))
        assert set(views) == {("one", "b", 1)}
        assert await following.view(OTHER, "b", PULSE) == ("other", "b", 2)
        assert await following.view(ONE, "b", PULSE._replace(completed=1)) == ("one", "b", 3)
        assert await following.view(ONE, "b", PULSE) == ("one", "b", 1)
        clock.advance(FRESH_S)
        assert await following.view(ONE, "b", PULSE) == ("one", "b", 4)
        clock.advance(FRESH_S)
        batches.fails = True
        with pytest.raises(OSError, match="away"):
            await following.view(ONE, "b", PULSE)
        batches.fails = False
        assert await following.view(ONE, "b", PULSE) == ("one", "b", 6)

    asyncio.run(run())
