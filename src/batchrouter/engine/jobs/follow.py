"""Follow a job that was made: look at it, cancel it, take its results over, and see it to its end."""

from __future__ import annotations

import logging
from dataclasses import replace

from batchrouter.domain.job import JobNote, JobPhase, Seen
from batchrouter.domain.job_end import Why
from batchrouter.domain.job_plan import backoff_s
from batchrouter.domain.job_refusal import Refusal, of_question, of_whole
from batchrouter.domain.lifecycle import JobState
from batchrouter.domain.retry import reason_of
from batchrouter.engine.jobs.collect import Collected, Collector
from batchrouter.engine.jobs.step import Moves, Step
from batchrouter.engine.jobs.submit import Submitter
from batchrouter.engine.jobs.tools import JobTools
from batchrouter.errors import NativeError, NativeRefused

log = logging.getLogger(__name__)

REFUSED_S, REFUSED_MAX_S = 30.0, 600.0
"""After a refused key, for whatever is asked of a job that is under way."""
GIVE_UP_TRIES = 8
"""Of ending a job that nobody wants any more: a provider that cannot be reached must not keep it open for ever."""
READ_AGAIN_PART = 0.1
"""Results that can be read before the end are read again when a tenth of the job more is done."""


class Follower:
    def __init__(self, tools: JobTools, moves: Moves, collector: Collector, submitter: Submitter) -> None:
        self._tools = tools
        self._moves = moves
        self._collector = collector
        self._submitter = submitter

    async def look(self, step: Step) -> None:
        job = step.job
        assert job.ext_id is not None
        sent_s = self._tools.clock.mono_s()
        seen = await self._moves.ask(step, step.api.look(job.ext_id, job.data))
        if not step.memo.found:
            step.native.known[job.ext_id] = job.id
        if job.tries:  # what was refused here is permitted again
            step.native.health.on_answer(sent_s, self._tools.clock.mono_s())
        await self._seen(step, seen)

    async def cancel(self, step: Step) -> None:
        """Ask for its end, once and wherever that was not heard, and see whether it has come."""
        job, api = step.job, step.api
        assert job.ext_id is not None
        seen = None
        if job.polls:
            seen = await self._moves.ask(step, api.look(job.ext_id, job.data))
        if seen is None or seen.phase is JobPhase.RUNNING:
            seen = await self._moves.ask(step, api.cancel(job.ext_id, job.data))
        if step.over:
            # What was found without a tag may be another's; nobody has seen a result of it that proves whose it is.
            await self._moves.end(step, Why.CLOSED, None, None if step.memo.found else seen)
        else:
            await self._seen(step, seen)

    async def failed(self, step: Step, error: NativeError) -> None:
        """A question about a job that was made, or may have been, was not answered."""
        job = step.job
        wait_s = self._moves.again_s(job)
        log.info("%s of %s: no answer (%s)", job.id, job.batch_id, error)
        if isinstance(error, NativeRefused):
            refusal = of_question(error.status, error.code)
            made = job.state is not JobState.INTENDED
            if refusal is Refusal.GONE and made and (step.over or self._is_old(step)):
                await self._moves.end(step, Why.GONE, f"{error.status} {error.code or ''}".rstrip())
                return
            if refusal is Refusal.PAUSE:
                now_s = self._tools.clock.mono_s()
                step.native.health.on_lane_down(reason_of(error.status, error.code), now_s, now_s)
                wait_s = backoff_s(job.tries + 1, REFUSED_S, REFUSED_MAX_S, self._tools.chance.fraction())
            wait_s = max(wait_s, error.retry_after_s or 0.0)
            if not step.running:  # a job that is not wanted must not take the room of others for a day
                wait_s = min(wait_s, REFUSED_MAX_S)
        if step.over and job.tries >= GIVE_UP_TRIES:
            log.warning("%s of %s may still run at the provider (%s)", job.id, job.batch_id, error)
            await self._moves.end(step, Why.CLOSED, "the provider did not answer")
            return
        await self._moves.wait(step, replace(self._moves.later(step, wait_s), tries=job.tries + 1))

    def _is_old(self, step: Step) -> bool:
        """What a provider does not know may only not be known yet."""
        age_ms = self._moves.now_ms() - (step.job.submitted_ms or 0)
        return age_ms >= self._tools.settings.lost_create_s * 1000

    # --- what was seen ----------------------------------------------------------------------------------------------

    async def _seen(self, step: Step, seen: Seen) -> None:
        """Raises `NativeError` where its results cannot be read (yet)."""
        if seen.refused:
            await self._rejected(step, seen)
            return
        if seen.completed + seen.failed and not step.job.completed + step.job.failed:
            enqueued = await self._tools.calls.read(self._tools.jobs.enqueued, step.duty.lane.id)
            step.native.on_running(enqueued.tokens)
        ended = seen.phase is JobPhase.ENDED
        memo = step.memo
        if ended or self._worth_reading(step, seen):
            collected = await self._moves.ask(step, self._collector.collect(step.duty, step.native, seen))
            if collected.wrong:
                await self._mistaken(step, seen)
                return
            if collected.settled:
                log.info("%d results of %s of %s are taken over", collected.settled, step.job.id, step.job.batch_id)
            if ended:
                await self._ended(step, seen, collected)
                return
            memo = replace(memo, read=seen.completed + seen.failed)
        job = step.job
        note = JobNote(
            next_ms=self._moves.later(step, self._moves.poll_s(step, job.polls)).next_ms,
            completed=seen.completed,
            failed=seen.failed,
            polls=job.polls + 1,
            tries=0,
            data=memo.data(job.data, seen.data),
        )
        await self._moves.wait(step, note)

    def _worth_reading(self, step: Step, seen: Seen) -> bool:
        more = seen.completed + seen.failed - step.memo.read
        return seen.readable and more >= max(1, step.job.lines * READ_AGAIN_PART)

    async def _ended(self, step: Step, seen: Seen, collected: Collected) -> None:
        why = None
        if collected.left:
            cancelled = step.job.state is JobState.CANCELLING
            why = step.why_unwanted if cancelled or not step.running else Why.UNFINISHED
        pending = max(collected.left, step.duty.pending - collected.settled)
        # The last counts, for people; with a time of sending, so that the step goes on.
        note = JobNote(
            next_ms=self._moves.now_ms(), sent_ms=step.job.sent_ms, completed=seen.completed, failed=seen.failed
        )
        job = await self._moves.note(step.duty, None, note)
        step = replace(step, duty=replace(step.duty, job=job, pending=pending))
        await self._moves.end(step, why, seen.reason, seen)

    async def _rejected(self, step: Step, seen: Seen) -> None:
        """It was made, and then rejected as a whole."""
        native, now_s = step.native, self._tools.clock.mono_s()
        match of_whole(seen.code):
            case Refusal.LIMIT:
                await self._submitter.too_much(step, seen.code)
                await step.api.discard(seen)
            case Refusal.PAUSE:
                why = reason_of(400, seen.code)
                native.health.on_lane_down(why, now_s, now_s)
                await self._moves.end(step, Why.PAUSED, seen.code, seen)
                native.hold(now_s, why)
            case _:
                await self._moves.end(step, Why.REFUSED, seen.reason or seen.code, seen)

    async def _mistaken(self, step: Step, seen: Seen) -> None:
        """It was found without a tag, and its results are those of another's job."""
        job = step.job
        log.warning("%s of %s is not %s at %s: look for it again", job.id, job.batch_id, seen.ext_id, step.native.name)
        data = step.memo.without(seen.ext_id).data()
        note = JobNote(next_ms=self._moves.now_ms(), completed=0, failed=0, polls=0, tries=0, data=data)
        await self._moves.note(step.duty, None, note)
