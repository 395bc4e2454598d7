"""Which lines this worker has: shards are claimed for lanes that have room, batches come and go.

The lanes send by themselves (`lane_runner`); this is where they are made, fed and told of batches that close.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from batchrouter.domain.fair_share import pick_shards
from batchrouter.domain.lifecycle import BATCH_FINAL, BatchState
from batchrouter.domain.pacing import Pacing
from batchrouter.domain.shard import Claim, Lane, LaneKey, Load, Settled, WaitingGroup
from batchrouter.engine.budget import Budget
from batchrouter.engine.held import BatchRun
from batchrouter.engine.input import Inputs
from batchrouter.engine.journal import Journal
from batchrouter.engine.lane_runner import LaneRunner
from batchrouter.engine.settings import EngineSettings
from batchrouter.errors import BatchRouterError, ConfigError
from batchrouter.ports.blobs import Blobs
from batchrouter.ports.calls import Calls
from batchrouter.ports.clock import Chance, Clock
from batchrouter.ports.ledger import Ledger
from batchrouter.ports.transport import Link
from batchrouter.providers.base import Wire

log = logging.getLogger(__name__)

CLAIM_SHARDS_MAX = 16
CLOSING = BATCH_FINAL | {BatchState.FINALIZING, BatchState.CANCELLING}


class Connection(NamedTuple):
    """What a lane needs to work: its provider's wire, a link to it, and its pace."""

    wire: Wire
    link: Link
    pacing: Pacing


class Dispatcher:
    """`connect` makes a lane's connection from the configuration; `ConfigError`: its provider is not configured.

    `hungry` is called whenever a lane could take more; `drained` when a batch has its last line settled.
    """

    def __init__(
        self,
        ledger: Ledger,
        calls: Calls,
        blobs: Blobs,
        clock: Clock,
        chance: Chance,
        settings: EngineSettings,
        worker: str,
        connect: Callable[[LaneKey], Connection],
        *,
        may_send: Callable[[], bool],
        hungry: Callable[[], None],
        drained: Callable[[], None],
    ) -> None:
        self._ledger = ledger
        self._calls = calls
        self._clock = clock
        self._chance = chance
        self._settings = settings
        self._worker = worker
        self._connect = connect
        self._may_send = may_send
        self._hungry = hungry
        self._drained = drained
        self._budget = Budget(settings.budget_bytes)
        self._inputs = Inputs(blobs)
        self.journal = Journal(ledger, calls, blobs, clock, self._budget, settings, worker, self._on_settled)
        self._lanes: dict[int, Lane] = {}
        self._noted: dict[int, Lane] = {}
        self._runners: dict[int, LaneRunner] = {}
        self._batches: dict[str, BatchRun] = {}
        self._stopping = False

    # --- sending ----------------------------------------------------------------------------------------------------

    def may_send(self) -> bool:
        return not self._stopping and not self.journal.stuck and self._may_send()

    @property
    def in_flight(self) -> int:
        return sum(runner.in_flight for runner in self._runners.values())

    def pump_all(self) -> None:
        for runner in self._runners.values():
            runner.pump()

    # --- claiming ---------------------------------------------------------------------------------------------------

    async def claim(self) -> int:
        """One round: claim shards for every lane that has room. Returns how many were claimed."""
        if not self.may_send():
            return 0
        groups = await self._calls.read(self._ledger.waiting, self._clock.unix_ms())
        by_lane: dict[int, list[WaitingGroup]] = {}
        for group in groups:
            by_lane.setdefault(group.lane_id, []).append(group)
        for lane_id, each in self._runners.items():
            each.more_waiting = lane_id in by_lane
        claimed = 0
        for lane_id, waiting in by_lane.items():
            runner = await self._runner(lane_id)
            if runner is not None:
                claimed += await self._claim_for(runner, waiting)
        return claimed

    async def _claim_for(self, runner: LaneRunner, waiting: list[WaitingGroup]) -> int:
        held: dict[str, int] = {}
        tenant_held: dict[str, int] = {}
        for batch_id, (tenant_id, count) in runner.held_lines().items():
            held[batch_id] = count
            tenant_held[tenant_id] = tenant_held.get(tenant_id, 0) + count
        picks = pick_shards(waiting, held, tenant_held, max(0, runner.appetite()), self._clock.unix_ms())
        claimed = 0
        for batch_id, count in picks:
            count = min(count, CLAIM_SHARDS_MAX)
            now_ms = self._clock.unix_ms()
            claims = await self._calls.write(self._ledger.claim, self._worker, runner.lane.id, batch_id, count, now_ms)
            for claim in claims:
                claimed += await self._accept(runner, claim)
        runner.more_waiting = sum(group.shards for group in waiting) > claimed
        if claimed:
            runner.pump()
        return claimed

    async def _accept(self, runner: LaneRunner, claim: Claim) -> int:
        if not claim.pending:
            return 0
        batch = self._batches.get(claim.batch_id)
        if batch is None:
            deadline_s = self._clock.mono_s() + (claim.deadline_ms - self._clock.unix_ms()) / 1000
            batch = self._batches[claim.batch_id] = BatchRun(claim, deadline_s)
        try:
            await runner.accept(claim, batch)
        except BatchRouterError as error:
            log.error("shard %d of %s could not be loaded (%s)", claim.shard_id, claim.batch_id, error)
            await self._calls.write(self._ledger.release, self._worker, [(claim.shard_id, claim.epoch)])
            return 0
        return 1

    async def _runner(self, lane_id: int) -> LaneRunner | None:
        runner = self._runners.get(lane_id)
        if runner is not None:
            return runner
        lane = self._lanes.get(lane_id)
        if lane is None:
            self._lanes = {lane.id: lane for lane in await self._calls.read(self._ledger.lanes)}
            lane = self._lanes[lane_id]
        try:
            connection = self._connect(lane.key)
        except ConfigError as error:
            await self._note(replace(lane, state="paused", reason=str(error), until_ms=None))
            return None
        runner = LaneRunner(
            lane,
            connection.wire,
            connection.link,
            connection.pacing,
            self._settings.retry,
            inputs=self._inputs,
            journal=self.journal,
            budget=self._budget,
            clock=self._clock,
            chance=self._chance,
            gate=self,
            on_hungry=self._hungry,
        )
        self._runners[lane_id] = runner
        return runner

    # --- what becomes of batches ------------------------------------------------------------------------------------

    def _on_settled(self, batch_id: str, settled: Settled, count: int) -> None:
        if settled.drained:
            self._batches.pop(batch_id, None)
            self._drained()
        elif settled.state in CLOSING:
            self.drop(batch_id)
        self.pump_all()

    def drop(self, batch_id: str) -> None:
        """The batch is closing: end its calls, forget its lines. What is in the journal is still flushed."""
        if self._batches.pop(batch_id, None) is None:
            return
        for runner in self._runners.values():
            runner.drop(batch_id)

    def drop_all(self) -> None:
        for batch_id in list(self._batches):
            self.drop(batch_id)

    # --- telling others -----------------------------------------------------------------------------------------------

    def loads(self) -> list[Load]:
        return [
            Load(lane_id=runner.lane.id, batch_id=batch_id, in_flight=flying, retrying=waiting)
            for runner in self._runners.values()
            for batch_id, (flying, waiting) in runner.loads().items()
        ]

    async def note_lanes(self) -> int:
        """Write down what changed of the lanes since the last time; returns how many rows did."""
        now_s, now_ms = self._clock.mono_s(), self._clock.unix_ms()
        changed = []
        for runner in self._runners.values():
            health = runner.health
            until_s = health.waiting_until_s
            # To the second: a wait that is told anew with each reply is not news.
            until_ms = None if until_s is None or until_s == float("-inf") else now_ms + int((until_s - now_s) * 1000)
            lane = replace(
                runner.lane,
                state=health.state.value,
                reason=health.reason,
                until_ms=None if until_ms is None else until_ms // 1000 * 1000,
                limit=runner.limiter.limit,
            )
            if lane != self._noted.get(lane.id):
                changed.append(lane)
        if changed:
            await self._calls.write(self._ledger.note_lanes, changed)
            self._noted.update((lane.id, lane) for lane in changed)
        return len(changed)

    async def _note(self, lane: Lane) -> None:
        if self._noted.get(lane.id) != lane:
            await self._calls.write(self._ledger.note_lanes, [lane])
            self._noted[lane.id] = lane

    # --- stopping -----------------------------------------------------------------------------------------------------

    async def drain(self, grace_s: float) -> None:
        """Send nothing more, let calls finish for `grace_s`, write down what came."""
        self._stopping = True
        until_s = self._clock.mono_s() + grace_s
        while self.in_flight and self._clock.mono_s() < until_s:
            await self._clock.sleep(0.05)
        for runner in self._runners.values():
            await runner.aclose()
        await self.journal.drain_all()

    async def aclose(self) -> None:
        """End everything at once; what is not yet settled will be sent again."""
        self._stopping = True
        for runner in self._runners.values():
            await runner.aclose()
        await self.journal.aclose()
