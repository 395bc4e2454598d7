"""The lanes at work here: each is made when the first line waits for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import NamedTuple

from batchrouter.domain.cost import RateCard
from batchrouter.domain.lane_health import LaneState
from batchrouter.domain.shard import Lane, LaneKey, LaneMode
from batchrouter.engine.fault import told
from batchrouter.engine.lane_rows import LaneRows
from batchrouter.engine.lane_runner import LaneRunner
from batchrouter.engine.setup import LaneSetup, Upstreams
from batchrouter.engine.sharing import Sharing
from batchrouter.errors import ConfigError
from batchrouter.ports.calls import Calls
from batchrouter.ports.clock import Clock
from batchrouter.ports.ledger import Ledger

log = logging.getLogger(__name__)


LOOK_S = 30.0
"""How often the rows of lanes that work are looked at: whether somebody else has written of them."""


class LaneMeans(NamedTuple):
    """What a lane is made of. `rate` is how many lines a second it takes, as far as is known."""

    lane: Lane
    setup: LaneSetup
    card: RateCard | None
    rate: float


class Runners:
    """`on_ready` is called when a lane that was asked for in vain may be there now."""

    def __init__(
        self,
        ledger: Ledger,
        calls: Calls,
        sharing: Sharing,
        clock: Clock,
        upstreams: Upstreams,
        make: Callable[[LaneMeans], LaneRunner],
        on_ready: Callable[[], None],
    ) -> None:
        self._ledger = ledger
        self._calls = calls
        self._sharing = sharing
        self._rows = LaneRows(ledger, calls, clock)
        self._clock = clock
        self._upstreams = upstreams
        self._make = make
        self._on_ready = on_ready
        self._runners: dict[int, LaneRunner] = {}
        self._look_s = 0.0
        self._cards: dict[int, asyncio.Task[RateCard | None]] = {}

    def values(self) -> Collection[LaneRunner]:
        return self._runners.values()

    async def get(self, lane_id: int) -> LaneRunner | None:
        """None: the lane is one of native batches, or not configured, or its prices are still asked for."""
        runner = self._runners.get(lane_id)
        if runner is not None:
            return runner
        lane = (await self._rows.of((lane_id,)))[lane_id]
        if lane.key.mode is LaneMode.BATCH:
            return None
        card = self._cards.get(lane_id)
        if card is None:
            card = self._cards[lane_id] = asyncio.create_task(self._card(lane.key), name=f"prices of lane {lane_id}")
            card.add_done_callback(lambda _: self._on_ready())
        if not card.done():
            return None
        try:
            setup = self._upstreams.lane(lane.key)
            rate = self._upstreams.options(lane.key.provider, lane.key.model).rate
        except ConfigError as error:
            await self._rows.note([replace(lane, state="paused", reason=str(error), until_ms=None)])
            return None
        runner = self._runners[lane_id] = self._make(LaneMeans(lane, setup, card.result(), rate))
        del self._cards[lane_id]
        return runner

    async def note(self) -> int:
        """Write down what changed of the lanes since the last time; returns how many rows did.

        With several workers one speaks for a lane: of those to whom it is open the first by name, else the first of
        all that work at it. Its limit is that of all together."""
        now_s, now_ms = self._clock.mono_s(), self._clock.unix_ms()
        if self._sharing.workers == 1:
            return await self._rows.note([_row(runner, now_s, now_ms) for runner in self._runners.values()])
        return await self._rows.note(
            [
                replace(_row(runner, now_s, now_ms), limit=runner.pool.limit + sum(others.values()))
                for lane_id, runner in self._runners.items()
                if self._speaks(runner, others := self._sharing.limits_of_others(lane_id))
            ]
        )

    async def look(self) -> None:
        """What other workers say of the lanes, and whose turn it is to probe those that are paused."""
        now_s = self._clock.mono_s()
        paused = any(runner.pool.state is LaneState.PAUSED for runner in self._runners.values())
        if self._sharing.alone or not (paused or (self._sharing.workers > 1 and now_s >= self._look_s)):
            return
        self._look_s = now_s + LOOK_S
        rows = await self._rows.look()
        for lane_id, runner in list(self._runners.items()):
            row = rows.get(lane_id)
            if row is not None:
                runner.on_row(row.state)
            if await runner.probe.ask(self._ledger, self._calls, self._clock, self._sharing.me, lane_id):
                runner.pump()

    def _speaks(self, runner: LaneRunner, others: Mapping[str, int]) -> bool:
        me = self._sharing.me
        if runner.pool.open:
            return all(me < other for other, limit in others.items() if limit)
        return not any(others.values()) and all(me < other for other in others)

    async def aclose(self) -> None:
        for card in self._cards.values():
            card.cancel()
        await asyncio.gather(*self._cards.values(), return_exceptions=True)
        for runner in self._runners.values():
            await runner.aclose()

    async def _card(self, key: LaneKey) -> RateCard | None:
        """Beside the claiming: who knows the prices may take a while, and other lanes need lines meanwhile."""
        try:
            return await self._upstreams.card(key)
        except Exception as error:
            log.error("prices of %s/%s could not be asked (%s)", key.provider, key.model, told(error))
            return None


def _row(runner: LaneRunner, now_s: float, now_ms: int) -> Lane:
    pool = runner.pool
    until_s = pool.until_s
    until_ms = None if until_s is None or until_s == float("-inf") else now_ms + int((until_s - now_s) * 1000)
    return replace(runner.lane, state=pool.state.value, reason=pool.reason, until_ms=until_ms, limit=pool.limit)
