"""The lanes of native batches that this worker knows, and what people are told of them."""

from __future__ import annotations

from dataclasses import replace

from batchrouter.domain.shard import Lane
from batchrouter.engine.jobs.lane import NativeLane
from batchrouter.engine.lane_rows import LaneRows
from batchrouter.engine.setup import Upstreams
from batchrouter.errors import ConfigError
from batchrouter.ports.calls import Calls
from batchrouter.ports.clock import Clock
from batchrouter.ports.ledger import Ledger


class NativeLanes:
    def __init__(self, ledger: Ledger, calls: Calls, clock: Clock, upstreams: Upstreams) -> None:
        self.rows = LaneRows(ledger, calls, clock)
        self._clock = clock
        self._upstreams = upstreams
        self._lanes: dict[int, NativeLane] = {}
        self._known: dict[str, dict[str, str]] = {}  # by provider: its list of jobs is not one of a single model

    async def of(self, lane: Lane) -> NativeLane:
        """Raises `ConfigError` when the configuration has no batch API for it (any more); people are told why."""
        known = self._lanes.get(lane.id)
        if known is not None:
            return known
        try:
            setup = self._upstreams.native(lane.key)
            options = self._upstreams.options(lane.key.provider, lane.key.model)
        except ConfigError as error:
            await self.rows.note([replace(lane, state="paused", reason=str(error), until_ms=None)])
            raise
        card = await self._upstreams.card(lane.key)
        made = NativeLane(lane, setup, options, card, self._upstreams.fallbacks)
        made.known = self._known.setdefault(lane.key.provider, made.known)
        return self._lanes.setdefault(lane.id, made)

    async def note(self) -> int:
        """Write down what changed of the lanes since the last time; returns how many rows did."""
        now_s, now_ms = self._clock.mono_s(), self._clock.unix_ms()
        return await self.rows.note([lane.row(now_s, now_ms) for lane in self._lanes.values()])

    async def aclose(self) -> None:
        """Let go of the lanes and their connections."""
        while self._lanes:
            await self._lanes.popitem()[1].setup.api.aclose()
