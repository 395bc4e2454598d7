"""The steps that batches need: each is taken under a duty, done beside the others, and leads to the next."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import NamedTuple

from batchrouter.domain.lifecycle import BatchEvent, BatchState
from batchrouter.domain.routing import Router
from batchrouter.domain.shard import Duty, LaneMode, Rejection
from batchrouter.engine.closing import Closer
from batchrouter.engine.copying import Copier
from batchrouter.engine.fault import told
from batchrouter.engine.ingest import decide
from batchrouter.engine.reuse import Reuse
from batchrouter.engine.settings import EngineSettings
from batchrouter.engine.setup import Upstreams
from batchrouter.errors import StaleLease
from batchrouter.ports.blobs import Blobs
from batchrouter.ports.calls import Calls
from batchrouter.ports.clock import Clock
from batchrouter.ports.ledger import Ledger

log = logging.getLogger(__name__)

AT_ONCE = 16
AWAIT_S = 1.0


class DutyHints(NamedTuple):
    """What others should look at: `again`, there may be more steps; `lines`, a plan has given lanes their lines;
    `jobs`, native jobs are wanted or to be ended; `closing` (with the batch), nothing more of it is to be sent;
    `over` (with the batch), it is final; `told`: it is, and somebody may want to hear of it."""

    again: Callable[[], None]
    lines: Callable[[], None]
    jobs: Callable[[], None]
    closing: Callable[[str], None]
    over: Callable[[str], None]
    told: Callable[[], None]


class Duties:
    """One worker's."""

    def __init__(
        self,
        ledger: Ledger,
        calls: Calls,
        blobs: Blobs,
        clock: Clock,
        router: Router,
        upstreams: Upstreams,
        settings: EngineSettings,
        reuse: Reuse,
        copier: Copier,
        closer: Closer,
        worker: str,
        hints: DutyHints,
    ) -> None:
        self._ledger = ledger
        self._calls = calls
        self._blobs = blobs
        self._clock = clock
        self._router = router
        self._upstreams = upstreams
        self._settings = settings
        self._reuse = reuse
        self._copier = copier
        self._closer = closer
        self._worker = worker
        self._hints = hints
        self._failing: set[str] = set()
        self._full = False
        """Whether there may be more steps than were taken."""
        self._awaiting: dict[str, float] = {}
        """Closing batches that wait for their native jobs, and when they are looked at again."""
        self.under_way: dict[str, asyncio.Task[bool]] = {}

    async def begin(self) -> list[asyncio.Task[bool]]:
        """Take the steps that batches need, apart from those under way, and begin them all. Each tells whether it was
        done."""
        room = AT_ONCE - len(self.under_way)
        if room <= 0:
            self._full = True
            return []
        now_s = self._clock.mono_s()
        self._awaiting = {batch_id: until_s for batch_id, until_s in self._awaiting.items() if until_s > now_s}
        # Those that failed are told again, oldest first: they must not be all that is told.
        most = room + len(self._failing)
        apart = self.under_way.keys() | self._awaiting.keys()
        now_ms = self._clock.unix_ms()
        duties = await self._calls.write(self._ledger.take_duties, self._worker, now_ms, most, apart)
        self._full = len(duties) == most
        self._failing &= {duty.batch_id for duty in duties} | self.under_way.keys()
        tasks = []
        for duty in duties:
            task = asyncio.create_task(self._guarded(duty), name=f"duty {duty.batch_id}")
            self.under_way[duty.batch_id] = task
            tasks.append(task)
        return tasks

    def cancel(self) -> None:
        for task in self.under_way.values():
            task.cancel()

    def on_job_ended(self, batch_id: str) -> None:
        if self._awaiting.pop(batch_id, None) is not None:
            self._hints.again()

    async def _guarded(self, duty: Duty) -> bool:
        """A batch that cannot take its step must not hold up the others."""
        try:
            done = await self._step(duty)
        except StaleLease:
            return False
        except Exception as error:
            self._failing.add(duty.batch_id)
            log.error("%s could not take its step from %s: %s", duty.batch_id, duty.state, told(error))
            return False
        finally:
            self.under_way.pop(duty.batch_id, None)
        self._failing.discard(duty.batch_id)
        # A plan leaves lines to be sent, and an end nothing: only a close is followed by a step at once.
        if done and (self._full or duty.state is BatchState.IN_PROGRESS or duty.closing is not None):
            self._hints.again()
        return done

    async def _step(self, duty: Duty) -> bool:
        """The step that the duty's state asks for; see `Duty`."""
        now_ms = self._clock.unix_ms()
        match duty.state:
            case BatchState.VALIDATING:
                return await self._plan(duty)
            case BatchState.CANCELLING if not duty.planned:
                self._hints.closing(duty.batch_id)
                return await self._plan(duty)
            case BatchState.IN_PROGRESS if duty.copying and duty.expires_ms > now_ms:
                await self._copier.copy_kept(duty)
                await self._calls.write(self._ledger.copied, self._worker, duty)
                log.info("%s has copied what it keeps of %s", duty.batch_id, duty.retry_of or duty.resume_from)
                return True
            case BatchState.IN_PROGRESS:
                event = BatchEvent.COMPLETE if duty.answered else BatchEvent.EXPIRE
                if not await self._calls.write(self._ledger.close, self._worker, duty, event, now_ms):
                    return False
                self._hints.closing(duty.batch_id)
                log.info("%s closes (%s): %d of %d lines are done", duty.batch_id, event, duty.done, duty.total)
                return True
            case BatchState.FINALIZING | BatchState.CANCELLING:
                self._hints.closing(duty.batch_id)
                if self._closer.waits(duty):
                    self._awaiting[duty.batch_id] = self._clock.mono_s() + AWAIT_S
                    self._hints.jobs()
                    return False
                finished = await self._closer.finish(duty)
                if finished:
                    self._closer.tell_end(duty, duty.closing)
                    self._hints.over(duty.batch_id)
                    self._hints.told()
                    log.info("%s is final (%s)", duty.batch_id, duty.closing)
                return finished
            case _:
                return False

    async def _plan(self, duty: Duty) -> bool:
        now_ms = self._clock.unix_ms()
        decision = await decide(
            duty, self._blobs, self._reuse, self._router, self._upstreams.options, self._settings, now_ms
        )
        planned = await self._calls.write(self._ledger.plan, self._worker, duty, decision, self._clock.unix_ms())
        if not planned:
            return False
        if isinstance(decision, Rejection):
            self._closer.tell_end(duty, BatchEvent.REJECT)
            log.info("%s failed: its file has %d errors", duty.batch_id, len(decision.errors))
            return True
        log.info("%s is planned: %d lines", duty.batch_id, decision.total)
        self._hints.lines()
        if any(shard.lane.mode is not LaneMode.REALTIME for shard in decision.shards):
            self._hints.jobs()
        if not decision.total or decision.copying or not decision.shards:
            self._hints.again()
        return True
