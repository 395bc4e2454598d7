"""Which lines this worker has: shards are claimed for lanes that have room, batches come and go.

The lanes send by themselves (`lane_runner`); this is where they are made, fed and told of batches that close.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from batchrouter.domain.fair_share import pick_shards, weight_in_tenant
from batchrouter.domain.lifecycle import BATCH_ENDING
from batchrouter.domain.shard import Claim, Load, Settled, WaitingGroup
from batchrouter.domain.spend import Spend
from batchrouter.engine.budget import Budget
from batchrouter.engine.fault import told
from batchrouter.engine.halts import Halts
from batchrouter.engine.held import BatchRun
from batchrouter.engine.journal import Journal
from batchrouter.engine.lane_runner import LOAD_AGAIN_S, LaneRunner
from batchrouter.engine.loads import loads_of
from batchrouter.engine.moving import Mover
from batchrouter.engine.runners import LaneMeans, Runners
from batchrouter.engine.settings import EngineSettings
from batchrouter.engine.setup import Upstreams
from batchrouter.engine.sharing import Sharing
from batchrouter.engine.spendings import Spendings
from batchrouter.engine.strays import Strays
from batchrouter.engine.traffic import Traffic
from batchrouter.input import Inputs
from batchrouter.ports.blobs import Blobs
from batchrouter.ports.calls import Calls
from batchrouter.ports.clock import Chance, Clock
from batchrouter.ports.ledger import Ledger
from batchrouter.ports.spill import Spill

log = logging.getLogger(__name__)

CLAIM_SHARDS_MAX = 16
WAITING_S = 2.0
"""How long a lane that is hungry again goes by what was told to wait; the store decides what it gets."""
LANE_BATCHES_MAX = 64
"""Batches that a lane has lines of at hand: beyond them, newcomers wait until the lane has room."""
LAST_FLUSH_S = 10.0
"""How long a stop waits for a store or disk that refuses what was answered."""


class Dispatcher:
    """Feeds the lanes of real-time calls; those of native batches (`LaneMode.BATCH`) are left to whoever feeds them.

    `hungry` is called whenever a lane could take more; `drained` when a batch has its last line settled, or no time
    left.
    """

    def __init__(
        self,
        ledger: Ledger,
        calls: Calls,
        blobs: Blobs,
        spill: Spill | None,
        clock: Clock,
        chance: Chance,
        settings: EngineSettings,
        worker: str,
        traffic: Traffic,
        upstreams: Upstreams,
        spendings: Spendings,
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
        self._traffic = traffic
        self._upstreams = upstreams
        self._spendings = spendings
        self._may_send = may_send
        self._hungry = hungry
        self._drained = drained
        self._budget = Budget(settings.budget_bytes)
        self._inputs = Inputs(blobs)
        self._batches: dict[str, BatchRun] = {}
        self.halts = Halts(
            self._batches, lambda: self.lanes.values(), lambda: self.journal, lambda: self._mover, self._let_go
        )
        self.journal = Journal(
            ledger,
            calls,
            blobs,
            spill,
            clock,
            self._budget,
            settings,
            worker,
            on_settled=self._on_settled,
            on_stuck=self.halts.on_stuck,
            meters=traffic.meters,
        )
        self.strays = Strays(ledger, calls, worker)
        self.strays.knows.append(self._knows)
        self._mover = Mover(ledger, calls, clock, self.journal, worker, self._on_moved)
        self.sharing = Sharing(worker, clock, lambda: self.lanes.values(), spendings, alone=settings.alone)
        self.lanes = Runners(ledger, calls, self.sharing, clock, upstreams, self._make, hungry)
        self._unloaded: list[tuple[int, int]] = []
        self._set_aside: dict[str, float] = {}
        self._waiting: dict[tuple[int, str], WaitingGroup] = {}
        self._waiting_s = 0.0
        self._stopping = False

    # --- sending ----------------------------------------------------------------------------------------------------

    def may_send(self) -> bool:
        return not self._stopping and not self.journal.stuck and self._may_send()

    @property
    def busy(self) -> bool:
        """Whether any batch has lines here."""
        return bool(self._batches)

    @property
    def in_flight(self) -> int:
        return self._traffic.in_flight

    @property
    def budget(self) -> Budget:
        return self._budget

    async def look(self) -> None:
        """Once a second: what other workers have written of what this one works at."""
        await self.lanes.look()
        await self.sharing.look(self._batches.__contains__)

    def pump_all(self) -> None:
        for runner in self.lanes.values():
            runner.pump()

    # --- claiming ---------------------------------------------------------------------------------------------------

    async def claim(self, groups: Sequence[WaitingGroup] | None = None) -> int:
        """One round: claim shards for every lane that has room. Returns how many were claimed. `groups` is what waits,
        if that is known."""
        if not self.may_send():
            return 0
        await self._give_back()
        await self.strays.give_back()
        now_ms, now_s = self._clock.unix_ms(), self._clock.mono_s()
        self._set_aside = {batch_id: until_s for batch_id, until_s in self._set_aside.items() if until_s > now_s}
        groups = await self._groups(groups, now_ms, now_s)
        for batch in self._batches.values():
            batch.waiting = 0
            batch.part = weight_in_tenant(batch.priority, batch.deadline_ms, now_ms)
        by_lane: dict[int, list[WaitingGroup]] = {}
        for group in groups:
            if group.batch_id in self._batches:
                self._batches[group.batch_id].waiting += group.lines
            if group.deadline_ms > now_ms and group.batch_id not in self._set_aside:
                by_lane.setdefault(group.lane_id, []).append(group)
        for each in self.lanes.values():
            each.more_waiting = each.lane.id in by_lane
            each.loader.queue.look()
        claimed = 0
        for lane_id, waiting in by_lane.items():
            runner = await self.lanes.get(lane_id)
            if runner is not None:
                claimed += await self._claim_for(runner, waiting)
        return claimed

    def forget_waiting(self) -> None:
        """What waits is not as it was told last."""
        self._waiting.clear()

    async def _groups(self, told: Sequence[WaitingGroup] | None, now_ms: int, now_s: float) -> list[WaitingGroup]:
        """What waits: as it is told now, or was told lately, but for what was claimed of it since."""
        if told is None and (not self._waiting or now_s - self._waiting_s > WAITING_S):
            told = await self._calls.read(self._ledger.waiting, now_ms)
        if told is not None:
            self._waiting_s = now_s
            self._waiting = {(group.lane_id, group.batch_id): group for group in told}
        return list(self._waiting.values())

    def _less(self, key: tuple[int, str], asked: int, claims: Sequence[Claim]) -> None:
        """So much of what waited was claimed; who got less than he asked for got all."""
        group = self._waiting.pop(key, None)
        if group is not None and asked == len(claims) < group.shards:
            lines = max(1, group.lines - sum(claim.pending.bit_count() for claim in claims))
            self._waiting[key] = replace(group, shards=group.shards - len(claims), lines=lines)

    async def _claim_for(self, runner: LaneRunner, waiting: list[WaitingGroup]) -> int:
        held: dict[str, int] = {}
        tenant_held: dict[str, int] = {}
        for batch_id, (tenant_id, count) in runner.held_lines().items():
            held[batch_id] = count
            tenant_held[tenant_id] = tenant_held.get(tenant_id, 0) + count
        waiting = [group for group in waiting if not runner.holds_back(group.batch_id)]
        if runner.gives_up():
            return await self._claim_to_move(runner, waiting)
        room = max(0, runner.appetite(sum(group.lines for group in waiting) // (2 * self.sharing.workers)))
        if runner.pool.open and len(held) < LANE_BATCHES_MAX and any(group.batch_id not in held for group in waiting):
            # What a slow lane has at hand may last for hours; a newcomer must not wait for the end of it.
            room = max(room, 1)
        picks = pick_shards(waiting, held, tenant_held, room, self._clock.unix_ms())
        claimed = 0
        for batch_id, count in picks:
            claimed += await self._claim_of(runner, batch_id, min(count, CLAIM_SHARDS_MAX))
        runner.more_waiting = sum(group.shards for group in waiting) > claimed
        if claimed:
            runner.pump()
        return claimed

    async def _claim_to_move(self, runner: LaneRunner, waiting: list[WaitingGroup]) -> int:
        """The lane cannot serve: take what has another lane to go to, however much that is, and look once at each
        batch of which that is not known. What has none is left where it is, for the lane's probes."""
        claimed = 0
        for group in waiting:
            leads_on = runner.leads_on(group.batch_id)
            if leads_on is not False:
                claimed += await self._claim_of(runner, group.batch_id, CLAIM_SHARDS_MAX if leads_on else 1)
        if claimed:
            runner.pump()
        return claimed

    async def _claim_of(self, runner: LaneRunner, batch_id: str, count: int) -> int:
        """Claim up to `count` shards of the batch; returns how many could be taken in."""
        now_ms = self._clock.unix_ms()
        try:
            claims = await self._calls.write(self._ledger.claim, self._worker, runner.lane.id, batch_id, count, now_ms)
        except Exception:
            self.strays.doubt()
            raise
        self._less((runner.lane.id, batch_id), count, claims)
        return await self._accept(runner, claims) if claims else 0

    async def _accept(self, runner: LaneRunner, claims: Sequence[Claim]) -> int:
        """Take in shards of one batch; returns how many could be. What cannot be read goes back to the store."""
        try:
            spend = await self._spendings.of(claims[0])
        except Exception as error:
            for claim in claims:
                self._turn_away(claim, error)
            await self._give_back()
            return 0
        batch = self._batch_of(claims[0], spend)
        batch.shards.update(claim.shard_id for claim in claims)
        if self._traffic.meters.traces is not None:
            self._traffic.meters.traces.claimed(claims)
        # All are counted before the first wait, so that the batch is not taken for finished here meanwhile.
        batch.open += sum(claim.pending.bit_count() for claim in claims)
        accepted = 0
        for claim in claims:
            try:
                await runner.accept(claim, batch)
                accepted += 1
            except Exception as error:  # ours too: a shard that nobody has in memory would never be sent
                batch.open -= claim.pending.bit_count()
                self._turn_away(claim, error)
        await self._give_back()
        return accepted

    def _knows(self, shard_id: int, batch_id: str) -> bool:
        """Also of a batch that was dropped: what is finished of it must be written under the epochs that it has."""
        batch = self._batches.get(batch_id)
        return (batch is not None and shard_id in batch.shards) or self.journal.holds(batch_id)

    def _turn_away(self, claim: Claim, error: Exception) -> None:
        log.error("shard %d of %s could not be loaded (%s)", claim.shard_id, claim.batch_id, told(error))
        self._unloaded.append((claim.shard_id, claim.epoch))
        self._set_aside[claim.batch_id] = self._clock.mono_s() + LOAD_AGAIN_S

    def _batch_of(self, claim: Claim, spend: Spend | None) -> BatchRun:
        batch = self._batches.get(claim.batch_id)
        if batch is None:
            batch = self._batches[claim.batch_id] = BatchRun(claim, spend, self.sharing.tenant_of(claim))
            batch.stuck = self.journal.stuck_alone(batch.id)
            self._await_deadline(batch)
        return batch

    async def _give_back(self) -> None:
        """Kept until the store has taken them: a shard that is ours and not in memory would never be sent."""
        if self._unloaded:
            await self._calls.write(self._ledger.release, self._worker, tuple(self._unloaded))
            self._unloaded.clear()

    def _make(self, means: LaneMeans) -> LaneRunner:
        return LaneRunner(
            means.lane,
            means.setup,
            means.card,
            self._upstreams.fallbacks,
            self._settings,
            rate=means.rate,
            inputs=self._inputs,
            journal=self.journal,
            mover=self._mover,
            budget=self._budget,
            traffic=self._traffic,
            clock=self._clock,
            chance=self._chance,
            gate=self,
            sharing=self.sharing,
            on_hungry=self._hungry,
        )

    # --- what becomes of batches ------------------------------------------------------------------------------------

    def _on_settled(self, batch_id: str, settled: Settled, cost_nano: int) -> None:
        self._spendings.on_settled(batch_id, cost_nano)
        batch = self._batches.get(batch_id)
        if batch is not None and (settled.drained or settled.state in BATCH_ENDING or self._has_none_of(batch)):
            self.drop(batch_id)
        if settled.drained:
            self._drained()
        self.pump_all()

    def _let_go(self, batch_id: str) -> None:
        self.drop(batch_id)
        self.strays.doubt()

    def _on_moved(self, batch: BatchRun) -> None:
        if self._batches.get(batch.id) is batch and self._has_none_of(batch):
            self.drop(batch.id)
        self.forget_waiting()
        self._hungry()

    def _has_none_of(self, batch: BatchRun) -> bool:
        """Whether every line of it that was claimed is settled or gone. Not before the last is written down: what it
        cost would be forgotten."""
        return not batch.open and not self.journal.holds(batch.id)

    def drop(self, batch_id: str) -> None:
        """The batch is closing: end its calls, forget its lines. What is in the journal is still flushed."""
        batch = self._batches.pop(batch_id, None)
        if batch is None:
            return
        if self._traffic.meters.traces is not None:
            self._traffic.meters.traces.dropped(batch_id)
        batch.dropped = True
        self._mover.drop(batch)
        if batch.timer is not None:
            batch.timer.cancel()
        for runner in self.lanes.values():
            runner.drop(batch_id)

    def _await_deadline(self, batch: BatchRun) -> None:
        """The deadline is the wall clock's, as people were told it, and that may be set meanwhile."""
        batch.deadline_s = self._clock.mono_s() + (batch.deadline_ms - self._clock.unix_ms()) / 1000
        batch.timer = self._clock.call_at(batch.deadline_s, partial(self._on_deadline, batch))

    def _on_deadline(self, batch: BatchRun) -> None:
        """Nothing is sent past it, however long the duty that closes the batch is held up."""
        if self._clock.unix_ms() < batch.deadline_ms:
            self._await_deadline(batch)
            return
        self.drop(batch.id)
        self._drained()

    def drop_all(self) -> None:
        for batch_id in list(self._batches):
            self.drop(batch_id)

    # --- telling others -----------------------------------------------------------------------------------------------

    def loads(self) -> list[Load]:
        return loads_of(self.lanes.values(), self._clock, self._traffic.meters)

    # --- stopping -----------------------------------------------------------------------------------------------------

    async def drain(self, grace_s: float) -> None:
        """Send nothing more, let calls finish for `grace_s`, write down what came."""
        self._stopping = True
        until_s = self._clock.mono_s() + grace_s
        while self.in_flight and self._clock.mono_s() < until_s:
            await self._clock.sleep(0.05)
        await self.lanes.aclose()
        flushing = asyncio.ensure_future(self.journal.drain_all())
        patience = asyncio.ensure_future(self._clock.sleep(LAST_FLUSH_S))
        await asyncio.wait({flushing, patience}, return_when=asyncio.FIRST_COMPLETED)
        for task in (flushing, patience):
            task.cancel()
        await asyncio.gather(flushing, patience, return_exceptions=True)
        if self.journal.spilled:
            log.error("%d finished lines wait in the spill for the next start", self.journal.spilled)
        elif self.journal.stuck:
            log.error("finished lines could not be written; they will be sent again after the next start")

    async def aclose(self) -> None:
        """End everything at once; what is not yet settled will be sent again."""
        self._stopping = True
        await self.lanes.aclose()
        await self._mover.aclose()
        await self.journal.aclose()
