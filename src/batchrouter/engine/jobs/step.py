"""What every step of a job may need: to ask the provider, to write down what was learnt, to give lines on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from batchrouter.domain.job import Job, JobDuty, JobNote, Seen
from batchrouter.domain.job_end import Why, lane_after, reason
from batchrouter.domain.job_plan import backoff_s, poll_s
from batchrouter.domain.job_step import JobMemo
from batchrouter.domain.lifecycle import BATCH_FINAL, BatchEvent, BatchState, JobEvent, JobState
from batchrouter.domain.overtaking import OvertakeTimes, Overtaking, overtake_times
from batchrouter.domain.shard import LaneKey, LaneMode
from batchrouter.engine.jobs.lane import NativeLane
from batchrouter.engine.jobs.tools import JobTools
from batchrouter.errors import NativeUnknown
from batchrouter.ports.native import NativeApi

log = logging.getLogger(__name__)

T = TypeVar("T")

AGAIN_S, AGAIN_MAX_S = 5.0, 120.0
"""After a fault of the provider's API, or of the way to it."""
ASK_MAX_S = 600.0
"""For an answer about a job whose lines have gone elsewhere, or whose batch is closing."""


class NotNow(Exception):
    """The worker may not go on with the step at this moment; nothing was written down."""


@dataclass(frozen=True, slots=True)
class Step:
    """A step under way. `running`: the batch is in progress; `over`: nothing of the job can count any more."""

    duty: JobDuty
    native: NativeLane
    memo: JobMemo
    times: OvertakeTimes
    running: bool
    over: bool

    @classmethod
    def of(cls, duty: JobDuty, native: NativeLane, margin_s: float) -> Step:
        state = duty.batch_state
        return cls(
            duty,
            native,
            JobMemo.of(duty.job),
            overtake_times(duty.deadline_ms, duty.pending, native.options.rate, margin_s),
            running=state is BatchState.IN_PROGRESS,
            over=duty.sealed or state in BATCH_FINAL or duty.closing is BatchEvent.COMPLETE,
        )

    @property
    def job(self) -> Job:
        return self.duty.job

    @property
    def api(self) -> NativeApi:
        return self.native.setup.api

    def due(self, now_ms: int) -> Overtaking:
        """Nothing is overtaken while a person has paused the batch: it would be sent."""
        return self.times.due(now_ms) if self.running and not self.duty.paused else Overtaking.NOT_YET

    def wanted(self, now_ms: int) -> bool:
        """Whether the batch still wants the job to run."""
        return self.running and self.due(now_ms) is Overtaking.NOT_YET

    @property
    def why_unwanted(self) -> Why:
        return Why.OVERTAKEN if self.running else Why.CLOSED


class Moves:
    """`on_moved` is called when there are lines for another lane, `on_ended` (with the batch) when a job has ended."""

    def __init__(self, tools: JobTools, *, on_moved: Callable[[], None], on_ended: Callable[[str], None]) -> None:
        self._tools = tools
        self._on_moved = on_moved
        self._on_ended = on_ended

    def now_ms(self) -> int:
        return self._tools.clock.unix_ms()

    def poll_s(self, step: Step, polls: int) -> float:
        return poll_s(step.native.setup.facts, polls, self._tools.chance.fraction())

    def again_s(self, job: Job) -> float:
        return backoff_s(job.tries + 1, AGAIN_S, AGAIN_MAX_S, self._tools.chance.fraction())

    async def ask(self, step: Step, question: Coroutine[Any, Any, T]) -> T:
        """Ask the provider, until real time must take over: nobody can wait for an answer longer than the window. A job
        that has nothing to lose any more waits a bounded time. Raises `NativeUnknown` then."""
        clock = self._tools.clock
        left_s = (step.times.force_ms - self.now_ms()) / 1000 if step.running else 0.0
        task = asyncio.ensure_future(question)
        late = False

        def stop() -> None:
            nonlocal late
            late = True
            task.cancel()

        timer = clock.call_at(clock.mono_s() + (left_s if left_s > 0 else ASK_MAX_S), stop)
        try:
            return await task
        except asyncio.CancelledError:
            if late and task.cancelled():
                raise NativeUnknown("no answer came in time") from None
            raise
        finally:
            timer.cancel()

    # --- writing down -----------------------------------------------------------------------------------------------

    async def note(self, duty: JobDuty, event: JobEvent | None, note: JobNote) -> Job:
        tools = self._tools
        return await tools.calls.write(tools.jobs.note_job, tools.worker, duty, event, note, self.now_ms())

    def later(self, step: Step, wait_s: float) -> JobNote:
        """The next step is due after `wait_s`, or when real time may have to take over."""
        now_ms = self.now_ms()
        next_ms = now_ms + max(1, int(wait_s * 1000))
        if step.running:
            next_ms = min([next_ms, *(at_ms for at_ms in step.times if at_ms > now_ms)])
        return JobNote(next_ms=next_ms)

    async def wait(self, step: Step, note: JobNote) -> None:
        """The job was made, or may have been, and is not at its end. Where waiting on would miss the window, its lines
        go to real time now."""
        if step.due(self.now_ms()) is Overtaking.FORCE:
            await self.overtake(step.duty, step.native.beside(LaneMode.REALTIME))
        await self.note(step.duty, None, note)

    async def overtake(self, duty: JobDuty, lane: LaneKey) -> None:
        job, tools = duty.job, self._tools
        if job.twice:
            return
        moved = await tools.calls.write(tools.jobs.overtake, tools.worker, duty, lane, self.now_ms())
        if moved:
            told = "%d lines of %s of %s go to real time although the job has not ended: they may be paid twice"
            log.warning(told, moved, job.id, job.batch_id)
            self._on_moved()

    # --- ending -----------------------------------------------------------------------------------------------------

    async def end(self, step: Step, why: Why | None, told: str | None = None, seen: Seen | None = None) -> None:
        """The job is over; `why` None: it left nothing. Its other lines go to the lane that suits them then."""
        to = step.duty.lane.key
        if why is not None and step.running:
            to = step.native.beside(await self._mode_after(step, why))
        await self.end_to(step.duty, to, None if why is None else reason(why, told))
        step.native.on_room()
        step.native.known.pop(step.job.ext_id or "", None)
        if seen is not None:
            await step.api.discard(seen)

    async def end_to(self, duty: JobDuty, to: LaneKey, why: str | None) -> None:
        job, tools = duty.job, self._tools
        event = JobEvent.ABANDON if job.state is JobState.INTENDED else JobEvent.COLLECT
        moved = await tools.calls.write(tools.jobs.end_job, tools.worker, duty, event, to, why, self.now_ms())
        told = f"; {moved} lines go on in {to.mode}" if moved else ""
        log.info("%s of %s has ended (%s)%s", job.id, job.batch_id, why or "all lines have results", told)
        tools.spendings.on_job_ended(job.batch_id, JobMemo.of(job).most_nano)
        self._on_ended(job.batch_id)
        if moved:
            self._on_moved()

    async def _mode_after(self, step: Step, why: Why) -> LaneMode:
        duty, job, tools = step.duty, step.job, self._tools
        shards = await tools.calls.read(tools.jobs.job_shards, job.id)
        jobs = await tools.calls.read(tools.jobs.jobs, job.batch_id)
        left = sum((shard.members & ~shard.done).bit_count() for shard in shards if shard.open)
        return lane_after(
            why,
            [each.reason for each in jobs if each.lane_id == job.lane_id and each.id != job.id],
            step.native.options,
            endpoint=duty.endpoint,
            lines=left,
            rest=max(left, duty.pending),
            left_s=(duty.deadline_ms - self.now_ms()) / 1000,
            margin_s=tools.settings.overtake_margin_s,
        )
