"""The loop of native jobs: take the steps that are due, gather what waits, many at a time and none before another."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence

from batchrouter.domain.job import JobDuty
from batchrouter.domain.job_plan import backoff_s
from batchrouter.domain.overtaking import FORCE_PART
from batchrouter.domain.shard import LaneMode, WaitingGroup
from batchrouter.engine.fault import told
from batchrouter.engine.jobs.gather import Gatherer
from batchrouter.engine.jobs.lanes import NativeLanes
from batchrouter.engine.jobs.step import NotNow
from batchrouter.engine.jobs.steps import Stepper
from batchrouter.engine.jobs.tools import JobTools
from batchrouter.engine.setup import Upstreams
from batchrouter.errors import StaleLease

log = logging.getLogger(__name__)

STEPS_AT_ONCE, LANE_STEPS = 48, 12
"""In all, and in one lane: a provider that takes minutes over each answer holds up no other's jobs."""
FAULT_S, FAULT_MAX_S = 2.0, 60.0


class NativeJobs:
    """`held`: the worker's lease holds; `may_send`: it may begin something that costs money. `hurry` asks for another
    round, `on_moved` tells that lanes of real time have more to send, `on_ended` that a job of that batch has ended."""

    def __init__(
        self,
        tools: JobTools,
        upstreams: Upstreams,
        *,
        held: Callable[[], bool],
        may_send: Callable[[], bool],
        hurry: Callable[[], None],
        on_moved: Callable[[], None],
        on_ended: Callable[[str], None],
    ) -> None:
        self._tools = tools
        self._held = held
        self._may_send = may_send
        self._hurry = hurry
        self._stopping = False
        self.lanes = NativeLanes(tools.ledger, tools.calls, tools.clock, upstreams)

        def moved() -> None:
            on_moved()
            hurry()

        self._gatherer = Gatherer(tools, self.lanes, upstreams, may_send=self._may_begin, on_made=hurry, on_moved=moved)
        self._stepper = Stepper(
            tools, self.lanes, upstreams, held=held, may_send=self._may_begin, on_moved=moved, on_ended=on_ended
        )
        self._under_way: dict[str, asyncio.Task[int]] = {}
        self._in_lane: Counter[int] = Counter()
        self._full: dict[int, set[str]] = {}
        """By lane: jobs that are due and wait for the end of another's step."""
        self._apart: dict[str, float] = {}
        self._faults: dict[str, int] = {}
        # Whatever goes wrong, the moment to send lines elsewhere must not be slept through.
        self._fault_max_s = min(FAULT_MAX_S, tools.settings.overtake_margin_s * FORCE_PART / 3)

    async def wants(self, waiting: Sequence[WaitingGroup]) -> bool:
        """Whether some of what waits is of a lane that is gathered here."""
        rows = await self.lanes.rows.of({group.lane_id for group in waiting})
        return any(lane.key.mode is not LaneMode.REALTIME for lane in rows.values())

    async def begin(self) -> list[asyncio.Task[int]]:
        """Begin the steps that are due and the gathering of what waits. Each task returns how much it did."""
        if self._stopping or not self._held():
            return []
        return [*await self._begin_steps(), *await self._gatherer.begin()]

    async def run_once(self) -> int:
        return sum(await asyncio.gather(*await self.begin()))

    async def drain(self, grace_s: float) -> None:
        """Begin nothing more, let steps finish for `grace_s`, and end the rest: the next worker takes them again."""
        self._stopping = True
        clock = self._tools.clock
        until_s = clock.mono_s() + grace_s
        while self._tasks() and clock.mono_s() < until_s:
            await clock.sleep(0.05)
        await self.aclose()

    def end_steps(self) -> None:
        """Those under way end where they are; whoever steps their jobs next finds out how far they came."""
        for task in self._tasks():
            task.cancel()

    async def aclose(self) -> None:
        self._stopping = True
        tasks = self._tasks()
        self.end_steps()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.lanes.aclose()

    def _may_begin(self) -> bool:
        return not self._stopping and self._may_send()

    def _tasks(self) -> list[asyncio.Task[int]]:
        return [*self._under_way.values(), *self._gatherer.under_way]

    # --- steps ------------------------------------------------------------------------------------------------------

    async def _begin_steps(self) -> list[asyncio.Task[int]]:
        tools, now_s = self._tools, self._tools.clock.mono_s()
        self._apart = {job_id: until_s for job_id, until_s in self._apart.items() if until_s > now_s}
        tasks: list[asyncio.Task[int]] = []
        while (room := STEPS_AT_ONCE - len(self._under_way)) > 0:
            apart = self._under_way.keys() | self._apart.keys() | set().union(*self._full.values())
            duties = await tools.calls.write(tools.jobs.take_jobs, tools.worker, tools.clock.unix_ms(), room, apart)
            for duty in duties:
                if self._in_lane[duty.lane.id] >= LANE_STEPS:
                    self._full.setdefault(duty.lane.id, set()).add(duty.job.id)
                else:
                    tasks.append(self._begin_step(duty))
            if len(duties) < room:
                break
        return tasks

    def _begin_step(self, duty: JobDuty) -> asyncio.Task[int]:
        task = asyncio.create_task(self._guarded(duty), name=f"job {duty.job.id}")
        self._under_way[duty.job.id] = task
        self._in_lane[duty.lane.id] += 1
        return task

    async def _guarded(self, duty: JobDuty) -> int:
        """A job that cannot take its step must not hold up the others."""
        job_id, now_s = duty.job.id, self._tools.clock.mono_s
        try:
            await self._stepper.step(duty)
        except (StaleLease, NotNow):
            return 0
        except Exception as error:
            faults = self._faults[job_id] = self._faults.get(job_id, 0) + 1
            self._apart[job_id] = now_s() + backoff_s(faults, FAULT_S, self._fault_max_s, 0.0)
            log.error("%s of %s could not take its step: %s", job_id, duty.job.batch_id, told(error))
            return 0
        finally:
            self._under_way.pop(job_id, None)
            self._in_lane[duty.lane.id] -= 1
            if self._full.pop(duty.lane.id, None) is not None:
                self._hurry()
        self._faults.pop(job_id, None)
        self._hurry()
        return 1
