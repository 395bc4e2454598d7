"""Make a job at its provider, once: what may have happened is looked for before it is asked for again."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from batchrouter.domain.job import JobNote, Seen
from batchrouter.domain.job_end import Why
from batchrouter.domain.job_plan import window_s
from batchrouter.domain.job_refusal import Refusal, is_token_limit, of_create
from batchrouter.domain.job_step import JobMemo
from batchrouter.domain.lifecycle import JobEvent, JobState
from batchrouter.domain.retry import Kind, reason_of
from batchrouter.domain.retry_wish import changes_of
from batchrouter.engine.fault import told
from batchrouter.engine.jobs.content import JobContent
from batchrouter.engine.jobs.step import Moves, NotNow, Step
from batchrouter.engine.jobs.tools import JobTools
from batchrouter.errors import NativeError, NativeRefused, NativeUnknown
from batchrouter.ports.native import JobDraft

log = logging.getLogger(__name__)

PAUSED_S = 600.0
"""A look at a job that waits for a person: whoever resumes its batch makes it due."""
PROBED_S = 10.0
"""How long a job waits for the probe of its lane: that may be an upload of minutes."""


class Submitter:
    def __init__(
        self, tools: JobTools, moves: Moves, *, held: Callable[[], bool], may_send: Callable[[], bool]
    ) -> None:
        self._held = held
        self._tools = tools
        self._moves = moves
        self._may_send = may_send

    async def submit(self, step: Step) -> None:
        """Raises `NotNow` when this worker may make none now. Nothing is made while a person has paused the batch."""
        if step.duty.paused:
            await self._moves.note(step.duty, None, self._moves.later(step, PAUSED_S))
            return
        health = step.native.health
        now_s = self._tools.clock.mono_s()
        if not health.may_send(now_s):
            wait_s = max(PROBED_S, (health.waiting_until_s or now_s) - now_s) + self._tools.chance.fraction()
            await self._moves.note(step.duty, None, self._moves.later(step, wait_s))
            return
        if not self._may_send():
            raise NotNow
        if health.open:
            await self._send(step, now_s)
            return
        health.on_probe_sent(now_s)
        try:
            await self._send(step, now_s)
        except BaseException:
            health.on_probe_gone()
            raise

    async def _send(self, step: Step, sent_s: float) -> None:
        job, health = step.job, step.native.health
        content = await self._content(step)
        now_ms = self._moves.now_ms()
        memo = replace(step.memo, unsent=False, missing_ms=None)
        tried = JobNote(next_ms=now_ms, sent_ms=job.sent_ms or now_ms, data=memo.data(job.data))
        job = await self._moves.note(step.duty, None, tried)
        step = replace(step, duty=replace(step.duty, job=job), memo=memo)
        if not self._may_send():
            raise NotNow
        log.info("%s of %s is submitted: %d lines", job.id, job.batch_id, job.lines)
        try:
            seen = await self._moves.ask(step, step.api.submit(self._draft(step), content))
        except Exception as error:
            await self._not_made(step, content, error, sent_s)
            return
        health.on_answer(sent_s, self._tools.clock.mono_s())
        await self._made(step, seen, memo)

    async def find(self, step: Step) -> None:
        """Its tag in the provider's list makes it ours. A list may lag: only one that has shown nothing for long enough
        proves that there is none. Also for a job that was found and turned out to be another's."""
        tools, job, memo = self._tools, step.job, step.memo
        others = await tools.calls.read(tools.jobs.jobs, job.batch_id)
        apart = frozenset(memo.apart) | {each.ext_id for each in others if each.ext_id and each.id != job.id}
        apart |= {ext_id for ext_id, job_id in step.native.known.items() if job_id != job.id}
        seen = await self._moves.ask(step, step.api.find(self._draft(step), apart))
        if seen is not None:
            await self._made(step, seen, replace(memo, found=True, missing_ms=None))
            return
        now_ms = self._moves.now_ms()
        missing_ms = now_ms if memo.missing_ms is None else memo.missing_ms
        left_s = tools.settings.lost_create_s - (now_ms - missing_ms) / 1000
        if left_s > 0:
            note = self._moves.later(step, min(left_s, self._moves.poll_s(step, job.polls)))
            data = replace(memo, missing_ms=missing_ms).data(job.data)
            await self._moves.wait(step, replace(note, data=data, polls=job.polls + 1, tries=0))
        elif job.state is not JobState.INTENDED:
            await self._moves.end(step, Why.GONE, "none of the provider's jobs is it")
        elif step.wanted(now_ms) and not job.twice:
            await self.submit(step)
        else:
            await self._moves.end(step, step.why_unwanted, "it was never made")

    async def _content(self, step: Step) -> JobContent:
        duty, tools = step.duty, self._tools
        shards = await tools.calls.read(tools.jobs.job_shards, duty.job.id)
        source = await tools.inputs.get(duty.input_blob_key, duty.input_index_key)
        open_ones = [shard for shard in shards if shard.open]
        return JobContent(
            duty.job, step.native.setup, duty.endpoint, source, open_ones, changes_of(duty.retry), self._held
        )

    def _draft(self, step: Step) -> JobDraft:
        job, duty = step.job, step.duty
        assert job.sent_ms is not None
        return JobDraft(
            tag=job.id,
            endpoint=duty.endpoint,
            model=duty.lane.key.model,
            lines=job.lines,
            bytes=job.bytes,
            sent_ms=job.sent_ms,
            window_s=window_s(step.native.setup.facts, (duty.deadline_ms - job.sent_ms) / 1000),
            data=job.data,
        )

    async def _made(self, step: Step, seen: Seen, memo: JobMemo) -> None:
        job = step.job
        note = JobNote(
            next_ms=self._moves.later(step, self._moves.poll_s(step, 0)).next_ms,
            ext_id=seen.ext_id,
            polls=0,
            tries=0,
            data=memo.data(job.data, seen.data),
        )
        await self._moves.note(step.duty, JobEvent.CREATE if job.state is JobState.INTENDED else None, note)
        if not memo.found:
            step.native.known[seen.ext_id] = job.id
        told = "%s of %s is found at %s as %s" if memo.found else "%s of %s is made at %s as %s"
        log.info(told, job.id, job.batch_id, step.native.name, seen.ext_id)

    # --- when it was not made ---------------------------------------------------------------------------------------

    async def _not_made(self, step: Step, content: JobContent, error: Exception, sent_s: float) -> None:
        """What certainly made nothing may be tried again; for the rest the list is asked first."""
        job, health, now_s = step.job, step.native.health, self._tools.clock.mono_s()
        if content.changed:
            health.on_probe_gone()
            await self._moves.end(step, Why.CHANGED, str(content.error))
        elif isinstance(error, NativeRefused) and content.error is None:
            await self._refused(step, error, sent_s)
        elif content.error is not None or isinstance(error, NativeError):
            unsent = content.error is not None or (isinstance(error, NativeUnknown) and not error.sent)
            health.on_failure(Kind.TRANSIENT, hash(job.id), 0, sent_s, now_s, str(error))
            await self._unmade(step, unsent, self._moves.again_s(job), told(error))
        else:
            health.on_probe_gone()
            raise error

    async def _refused(self, step: Step, error: NativeRefused, sent_s: float) -> None:
        job, native, now_s = step.job, step.native, self._tools.clock.mono_s()
        health, why = native.health, reason_of(error.status, error.code)
        until_s = None if error.retry_after_s is None else now_s + error.retry_after_s
        wait_s = max(self._moves.again_s(job), error.retry_after_s or 0.0)
        match of_create(error.status, error.code):
            case Refusal.PAUSE:
                health.on_lane_down(why, sent_s, now_s, until_s)
                await self._unmade(step, True, max(0.0, (health.waiting_until_s or now_s) - now_s), why)
            case Refusal.LATER:
                health.on_failure(Kind.BUSY, hash(job.id), 0, sent_s, now_s, why)
                health.on_wait(now_s + wait_s, now_s, why)
                await self._unmade(step, True, wait_s, why)
            case Refusal.UNKNOWN:
                health.on_failure(Kind.TRANSIENT, hash(job.id), 0, sent_s, now_s, why)
                await self._unmade(step, False, wait_s, why)
            case Refusal.LIMIT:
                health.on_answer(sent_s, now_s)
                await self.too_much(step, error.code)
            case _:
                health.on_answer(sent_s, now_s)
                await self._moves.end(step, Why.REFUSED, f"{error.status} {error.code or ''}".rstrip())

    async def _unmade(self, step: Step, unsent: bool, wait_s: float, why: str) -> None:
        job = step.job
        what = "was not made" if unsent else "may or may not have been made"
        log.info("%s of %s %s: %s", job.id, job.batch_id, what, why)
        data = replace(step.memo, unsent=unsent).data(job.data)
        note = replace(self._moves.later(step, wait_s), tries=job.tries + 1, data=data)
        if not unsent:
            await self._moves.wait(step, note)
        elif step.wanted(self._moves.now_ms()):
            await self._moves.note(step.duty, None, note)
        else:
            await self._moves.note(step.duty, None, replace(note, next_ms=self._moves.now_ms()))

    async def too_much(self, step: Step, code: str | None) -> None:
        """The provider has enough of ours enqueued: the lines wait, and are submitted anew when there is room."""
        native, tools = step.native, self._tools
        enqueued = await tools.calls.read(tools.jobs.enqueued, step.duty.lane.id)
        if is_token_limit(code):
            native.on_limit(step.job.tokens, enqueued.tokens)
        await self._moves.end(step, Why.LIMIT, code)
        native.hold(tools.clock.mono_s(), f"the provider takes no more at the moment ({code})")
