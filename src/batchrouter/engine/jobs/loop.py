"""The loop of native jobs: take the steps that are due, gather what waits, many at a time and none before another."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from batchrouter.domain.job import JobDuty
from batchrouter.domain.job_plan import backoff_s
from batchrouter.engine.fault import told
from batchrouter.engine.jobs.gather import Gatherer
from batchrouter.engine.jobs.lanes import NativeLanes
from batchrouter.engine.jobs.step import NotNow
from batchrouter.engine.jobs.steps import Stepper
from batchrouter.engine.jobs.tools import JobTools
from batchrouter.engine.setup import Upstreams
from batchrouter.errors import StaleLease

log = logging.getLogger(__name__)

STEPS_AT_ONCE = 16
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
        self._apart: dict[str, float] = {}
        self._faults: dict[str, int] = {}

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

    async def aclose(self) -> None:
        self._stopping = True
        tasks = self._tasks()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _may_begin(self) -> bool:
        return not self._stopping and self._may_send()

    def _tasks(self) -> list[asyncio.Task[int]]:
        return [*self._under_way.values(), *self._gatherer.under_way]

    # --- steps ------------------------------------------------------------------------------------------------------

    async def _begin_steps(self) -> list[asyncio.Task[int]]:
        room = STEPS_AT_ONCE - len(self._under_way)
        if room <= 0:
            return []
        tools, now_s = self._tools, self._tools.clock.mono_s()
        self._apart = {job_id: until_s for job_id, until_s in self._apart.items() if until_s > now_s}
        apart = frozenset(self._apart) | self._under_way.keys()
        duties = await tools.calls.write(tools.jobs.take_jobs, tools.worker, tools.clock.unix_ms(), room, apart)
        tasks = []
        for duty in duties:
            task = asyncio.create_task(self._guarded(duty), name=f"job {duty.job.id}")
            self._under_way[duty.job.id] = task
            tasks.append(task)
        return tasks

    async def _guarded(self, duty: JobDuty) -> int:
        """A job that cannot take its step must not hold up the others."""
        job_id, now_s = duty.job.id, self._tools.clock.mono_s
        try:
            await self._stepper.step(duty)
        except (StaleLease, NotNow):
            return 0
        except Exception as error:
            faults = self._faults[job_id] = self._faults.get(job_id, 0) + 1
            self._apart[job_id] = now_s() + backoff_s(faults, FAULT_S, FAULT_MAX_S, 0.0)
            log.error("%s of %s could not take its step: %s", job_id, duty.job.batch_id, told(error))
            return 0
        finally:
            self._under_way.pop(job_id, None)
        self._faults.pop(job_id, None)
        self._hurry()
        return 1
