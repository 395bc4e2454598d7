"""The lanes of native batches that this worker knows, and what people are told of them."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import replace

from batchrouter.domain.shard import Lane
from batchrouter.engine.jobs.lane import NativeLane
from batchrouter.engine.setup import Upstreams
from batchrouter.errors import ConfigError
from batchrouter.ports.calls import Calls
from batchrouter.ports.clock import Clock
from batchrouter.ports.ledger import Ledger

log = logging.getLogger(__name__)


class NativeLanes:
    def __init__(self, ledger: Ledger, calls: Calls, clock: Clock, upstreams: Upstreams) -> None:
        self._ledger = ledger
        self._calls = calls
        self._clock = clock
        self._upstreams = upstreams
        self._rows: dict[int, Lane] = {}
        self._lanes: dict[int, NativeLane] = {}
        self._noted: dict[int, Lane] = {}

    async def rows(self, lane_ids: Collection[int]) -> dict[int, Lane]:
        """The rows of these lanes, read again only when one is unknown. A row's state and limit may be old."""
        if not self._rows.keys() >= set(lane_ids):
            self._rows = {lane.id: lane for lane in await self._calls.read(self._ledger.lanes)}
        return {lane_id: self._rows[lane_id] for lane_id in lane_ids if lane_id in self._rows}

    async def of(self, lane: Lane) -> NativeLane:
        """Raises `ConfigError` when the configuration has no batch API for it (any more); people are told why."""
        known = self._lanes.get(lane.id)
        if known is not None:
            return known
        try:
            setup = self._upstreams.native(lane.key)
            options = self._upstreams.options(lane.key.provider, lane.key.model)
        except ConfigError as error:
            await self._write([replace(lane, state="paused", reason=str(error), until_ms=None)])
            raise
        card = await self._upstreams.card(lane.key)
        return self._lanes.setdefault(lane.id, NativeLane(lane, setup, options, card, self._upstreams.fallbacks))

    async def note(self) -> int:
        """Write down what changed of the lanes since the last time; returns how many rows did."""
        now_s, now_ms = self._clock.mono_s(), self._clock.unix_ms()
        return await self._write([lane.row(now_s, now_ms) for lane in self._lanes.values()])

    async def aclose(self) -> None:
        """Let go of the lanes and their connections."""
        while self._lanes:
            await self._lanes.popitem()[1].setup.api.aclose()

    async def _write(self, lanes: list[Lane]) -> int:
        changed = [lane for lane in lanes if _differs(lane, self._noted.get(lane.id))]
        if changed:
            await self._calls.write(self._ledger.note_lanes, changed)
            for lane in changed:
                _tell(lane, self._noted.get(lane.id))
                self._noted[lane.id] = lane
        return len(changed)


def _differs(lane: Lane, noted: Lane | None) -> bool:
    """A wait whose milliseconds are rounded otherwise is not news."""
    if noted is None or lane.until_ms is None or noted.until_ms is None:
        return lane != noted
    return replace(lane, until_ms=noted.until_ms) != noted or abs(lane.until_ms - noted.until_ms) >= 1000


def _tell(lane: Lane, before: Lane | None) -> None:
    """Into the log, when the lane's state is another than before."""
    name = f"{lane.key.provider}/{lane.key.model} (batch)"
    if lane.state == ("open" if before is None else before.state):
        return
    if lane.state == "open":
        log.info("lane %s is open again", name)
    else:
        log.warning("lane %s is %s until %s (unix ms): %s", name, lane.state, lane.until_ms, lane.reason)
