"""From waiting lines to jobs: shards are claimed, measured to the byte, cut by the provider's limits, and handed over.

Lines that no job will have go to real time from here: single ones that are too large, those that the provider does not
run as a batch, and all that wait while their deadline comes near. Whatever dies on the way, the lease frees what was
claimed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

from batchrouter.domain.job_end import Why, why_of
from batchrouter.domain.job_plan import job_limits, room_of
from batchrouter.domain.overtaking import Overtaking, overtake_times
from batchrouter.domain.shard import Lane, LaneKey, LaneMode, WaitingGroup
from batchrouter.engine.fault import told
from batchrouter.engine.jobs.forming import FormingJob
from batchrouter.engine.jobs.lane import NativeLane
from batchrouter.engine.jobs.lanes import NativeLanes
from batchrouter.engine.jobs.tools import JobTools
from batchrouter.engine.setup import Upstreams
from batchrouter.errors import ConfigError, StaleLease

log = logging.getLogger(__name__)

SET_ASIDE_S = 10.0
"""How long a batch is left alone whose lines could not be read or cut."""


class Gatherer:
    """`on_made` is called when there is a job to submit, `on_moved` when there are lines for real time."""

    def __init__(
        self,
        tools: JobTools,
        lanes: NativeLanes,
        upstreams: Upstreams,
        *,
        may_send: Callable[[], bool],
        on_made: Callable[[], None],
        on_moved: Callable[[], None],
    ) -> None:
        self._tools = tools
        self._lanes = lanes
        self._upstreams = upstreams
        self._may_send = may_send
        self._on_made = on_made
        self._on_moved = on_moved
        self._under_way: dict[int, asyncio.Task[int]] = {}
        self._set_aside: dict[tuple[int, str], float] = {}

    # --- rounds -----------------------------------------------------------------------------------------------------

    async def begin(self) -> list[asyncio.Task[int]]:
        """Begin to gather in every lane that has lines waiting, apart from those under way. Each task returns how many
        jobs and moves it made."""
        if not self._may_send():
            return []
        await self._tools.give_back(())
        now_s = self._tools.clock.mono_s()
        self._set_aside = {key: until_s for key, until_s in self._set_aside.items() if until_s > now_s}
        by_lane: dict[int, list[WaitingGroup]] = {}
        waiting: dict[str, int] = {}
        for group in await self._tools.calls.read(self._tools.ledger.waiting, self._tools.clock.unix_ms()):
            by_lane.setdefault(group.lane_id, []).append(group)
            waiting[group.batch_id] = waiting.get(group.batch_id, 0) + group.lines
        rows = await self._lanes.rows.of(by_lane)
        tasks = []
        for lane_id, groups in by_lane.items():
            lane = rows.get(lane_id)
            if lane is None or lane.key.mode is LaneMode.REALTIME or lane_id in self._under_way:
                continue
            some = [group for group in groups if (lane_id, group.batch_id) not in self._set_aside]
            task = asyncio.create_task(self._guarded(lane, some, waiting), name=f"gather {lane_id}")
            self._under_way[lane_id] = task
            tasks.append(task)
        return tasks

    @property
    def under_way(self) -> list[asyncio.Task[int]]:
        return list(self._under_way.values())

    async def _guarded(self, lane: Lane, groups: list[WaitingGroup], waiting: dict[str, int]) -> int:
        try:
            return await self._lane(lane, groups, waiting)
        except StaleLease:
            return 0
        except Exception as error:
            log.error("lines could not be gathered in lane %d: %s", lane.id, told(error))
            return 0
        finally:
            self._under_way.pop(lane.id, None)

    async def _lane(self, lane: Lane, groups: list[WaitingGroup], waiting: dict[str, int]) -> int:
        late = [group for group in groups if self._is_late(lane.key, group, waiting[group.batch_id])]
        soon = [group for group in groups if group not in late]
        done = 0
        for group in late:
            done += await self._move_on(lane, group, replace(lane.key, mode=LaneMode.REALTIME), "the deadline is near")
        if lane.key.mode is LaneMode.BATCH and soon:
            done += await self._gather(lane, soon)
        return done

    def _is_late(self, key: LaneKey, group: WaitingGroup, rest: int) -> bool:
        try:
            rate = self._upstreams.options(key.provider, key.model).rate
        except ConfigError:
            return False
        times = overtake_times(group.deadline_ms, rest, rate, self._tools.settings.overtake_margin_s)
        return times.due(self._tools.clock.unix_ms()) is not Overtaking.NOT_YET

    # --- one lane ---------------------------------------------------------------------------------------------------

    async def _gather(self, lane: Lane, groups: list[WaitingGroup]) -> int:
        try:
            native = await self._lanes.of(lane)
        except ConfigError:
            return await self._without_api(lane, groups)
        by_batch = {group.batch_id: group for group in groups}
        for group in groups:
            native.turns.add(group.tenant_id, group.weight, group.batch_id, group.deadline_ms)
        done = 0
        while by_batch and native.may_gather(self._tools.clock.mono_s()) and self._may_send():
            batch_id = native.turns.next()
            if batch_id is None:
                break
            if batch_id not in by_batch:  # nothing of it waits any more
                native.turns.remove(batch_id)
                continue
            group = by_batch.pop(batch_id)
            try:
                made = await self._job(native, group)
            except StaleLease:
                raise
            except Exception as error:
                log.error("no job could be made of lines of %s: %s", batch_id, told(error))
                self._set_aside[lane.id, batch_id] = self._tools.clock.mono_s() + SET_ASIDE_S
                native.turns.remove(batch_id)
                continue
            if made is None:  # the lane is full
                break
            native.turns.charge(batch_id, made)
            if made:
                done += 1
                by_batch[batch_id] = group  # it may have more than one job can have
                if not native.health.open:
                    break
            else:
                native.turns.remove(batch_id)
        return done

    async def _without_api(self, lane: Lane, groups: list[WaitingGroup]) -> int:
        """Where the configuration gave the batch API up, lines go on in real time; where it gave up the provider, they
        wait for it."""
        try:
            if self._upstreams.options(lane.key.provider, lane.key.model).batch:
                return 0
        except ConfigError:
            return 0
        done = 0
        for group in groups:
            to = replace(lane.key, mode=LaneMode.REALTIME)
            done += await self._move_on(lane, group, to, "the batch API is not configured")
        return done

    async def _move_on(self, lane: Lane, group: WaitingGroup, to: LaneKey, why: str) -> int:
        """All waiting lines of the group to another lane; returns 1, or 0 if there were none."""
        moved = 0
        while claims := await self._tools.claim(lane.id, group.batch_id):
            try:
                for claim in claims:
                    await self._tools.move(claim, claim.pending, to)
                    moved += claim.pending.bit_count()
            finally:
                await self._tools.give_back(claims)
        if moved:
            log.info("%d lines of %s go from %s to %s: %s", moved, group.batch_id, lane.key.mode, to.mode, why)
            self._on_moved()
        return int(moved > 0)

    # --- one job ----------------------------------------------------------------------------------------------------

    async def _job(self, native: NativeLane, group: WaitingGroup) -> int | None:
        """Make one job of the group's lines. Returns its lines; 0: there were none for a job; None: there is no room
        for one now."""
        tools, lane, facts = self._tools, native.lane, native.setup.facts
        earlier = await tools.calls.read(tools.jobs.jobs, group.batch_id)
        if any(job.lane_id == lane.id and why_of(job.reason) is Why.REFUSED for job in earlier):
            to = native.beside(LaneMode.FLEX if native.options.flex else LaneMode.REALTIME)
            await self._move_on(lane, group, to, "the provider does not run them as a batch")
            return 0
        enqueued = await tools.calls.read(tools.jobs.enqueued, lane.id)
        room = room_of(facts, enqueued, native.token_limit)
        if room.why is not None:
            native.hold(tools.clock.mono_s(), room.why)
            return None
        whole = job_limits(facts, native.token_limit)
        job = FormingJob(tools, native, room.limits, job_limits(facts), alone=not enqueued.jobs)
        try:
            await job.fill(group.batch_id)
            if job.full and enqueued.jobs and not job.cut.poor and not job.cut.worth(whole):
                native.hold(tools.clock.mono_s(), "there is too little room beside the jobs that are under way")
                return None
            lines = await job.hand_over(group.batch_id)
        finally:
            await job.give_back()
        if job.must_wait:
            self._set_aside[lane.id, group.batch_id] = tools.clock.mono_s() + SET_ASIDE_S
        elif job.cut.poor and not lines:
            # Line by line, and in words that tell why.
            await self._move_on(lane, group, native.beside(LaneMode.REALTIME), "there is no money left for a job")
        if lines:
            self._on_made()
        if job.unfit:
            self._on_moved()
        return lines
