"""One step of one job, whichever is next by its row.

A step that died is taken again by whoever comes next. A worker whose lease or duty is gone hears `StaleLease` at its
next word to the store, and its step ends there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from batchrouter.domain.job import JobDuty, JobNote
from batchrouter.domain.job_end import Why, reason
from batchrouter.domain.job_step import Do, next_do
from batchrouter.domain.lifecycle import BatchState, JobEvent, JobState
from batchrouter.domain.overtaking import Overtaking, overtake_times
from batchrouter.domain.shard import LaneMode
from batchrouter.engine.jobs.collect import Collector
from batchrouter.engine.jobs.follow import Follower
from batchrouter.engine.jobs.lanes import NativeLanes
from batchrouter.engine.jobs.step import Moves, NotNow, Step
from batchrouter.engine.jobs.submit import Submitter
from batchrouter.engine.jobs.tools import JobTools
from batchrouter.engine.setup import Upstreams
from batchrouter.errors import ConfigError, NativeError, StaleLease

log = logging.getLogger(__name__)

UNCONFIGURED_MS = 60_000


class Stepper:
    """`on_moved` and `on_ended` as in `Moves`; `held`: the worker's lease holds; `may_send`: jobs may be made."""

    def __init__(
        self,
        tools: JobTools,
        lanes: NativeLanes,
        upstreams: Upstreams,
        *,
        held: Callable[[], bool],
        may_send: Callable[[], bool],
        on_moved: Callable[[], None],
        on_ended: Callable[[str], None],
    ) -> None:
        self._lanes = lanes
        self._upstreams = upstreams
        self._held = held
        self._margin_s = tools.settings.overtake_margin_s
        self._moves = Moves(tools, on_moved=on_moved, on_ended=on_ended)
        self._submitter = Submitter(tools, self._moves, held=held, may_send=may_send)
        self._follower = Follower(tools, self._moves, Collector(tools, held=held), self._submitter)

    async def step(self, duty: JobDuty) -> None:
        """Raises `NotNow` when this worker may do nothing, `StaleLease` when it is not its step any more."""
        if not self._held():
            raise NotNow
        try:
            native = await self._lanes.of(duty.lane)
        except ConfigError:
            await self._without_api(duty)
            return
        step = Step.of(duty, native, self._margin_s)
        try:
            await self._step(step)
        except (StaleLease, NotNow):
            raise
        except NativeError as error:
            await self._follower.failed(step, error)
        except Exception:  # whatever it is, the window is kept
            if step.due(self._moves.now_ms()) is Overtaking.FORCE and duty.job.sent_ms is not None:
                await self._moves.overtake(duty, native.beside(LaneMode.REALTIME))
            raise

    async def _step(self, step: Step) -> None:
        job = step.job
        match next_do(job, step.wanted(self._moves.now_ms())):
            case Do.SUBMIT:
                await self._submitter.submit(step)
            case Do.FIND:
                await self._submitter.find(step)
            case Do.ABANDON:
                await self._moves.end(step, step.why_unwanted, "it was never made")
            case Do.LOOK:
                await self._follower.look(step)
            case Do.CANCEL:
                log.info("%s of %s is cancelled", job.id, job.batch_id)
                note = JobNote(next_ms=self._moves.now_ms(), polls=0, tries=0)
                await self._moves.note(step.duty, JobEvent.CANCEL, note)
            case Do.END:
                await self._follower.cancel(step)

    async def _without_api(self, duty: JobDuty) -> None:
        """The configuration has no batch API for the lane (any more): nothing can be asked. Where the provider is still
        there, the window is kept all the same."""
        job, now_ms = duty.job, self._moves.now_ms()
        realtime = replace(duty.lane.key, mode=LaneMode.REALTIME)
        if duty.batch_state is not BatchState.IN_PROGRESS:
            await self._moves.end_to(duty, realtime, reason(Why.CLOSED, "the batch API is not configured"))
            return
        next_ms = now_ms + UNCONFIGURED_MS
        try:
            options = self._upstreams.options(duty.lane.key.provider, duty.lane.key.model)
        except ConfigError:
            await self._moves.note(duty, None, JobNote(next_ms=next_ms))
            return
        if job.state is JobState.INTENDED and job.sent_ms is None:
            await self._moves.end_to(duty, realtime, reason(Why.REFUSED, "the batch API is not configured"))
            return
        times = overtake_times(duty.deadline_ms, duty.pending, options.rate, self._margin_s)
        if times.due(now_ms) is Overtaking.FORCE and not duty.paused:
            await self._moves.overtake(duty, realtime)
        elif not duty.paused:
            next_ms = min(next_ms, times.force_ms)
        await self._moves.note(duty, None, JobNote(next_ms=next_ms))
