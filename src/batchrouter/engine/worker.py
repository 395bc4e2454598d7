"""One worker: the loops that move batches, and their start and stop.

Each loop is only `wait, then run_once`; what is done, and what it returns, is in the parts. All of them meet in the
store alone, so that any of them may die at any moment and another carry on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from batchrouter.domain.routing import Router
from batchrouter.domain.shard import Beat, WaitingGroup
from batchrouter.engine.adopt import PATIENCE_S, Adopter
from batchrouter.engine.closing import Closer
from batchrouter.engine.copying import Copier
from batchrouter.engine.dispatch import Dispatcher
from batchrouter.engine.duties import Duties, DutyHints
from batchrouter.engine.fold import TOGETHER, Folder
from batchrouter.engine.jobs.loop import NativeJobs
from batchrouter.engine.jobs.tools import JobTools
from batchrouter.engine.leases import Lease
from batchrouter.engine.loop import FAULT_WAIT_S, loop_of
from batchrouter.engine.reuse import Reuse
from batchrouter.engine.settings import EngineSettings
from batchrouter.engine.setup import Upstreams
from batchrouter.engine.spendings import Spendings
from batchrouter.engine.sweep import ORPHANS_EVERY_MS, Sweeper
from batchrouter.engine.traffic import Traffic
from batchrouter.errors import BatchRouterError, StoreError
from batchrouter.input import Inputs
from batchrouter.keeping import Keeping
from batchrouter.ports.blobs import Blobs
from batchrouter.ports.calls import Calls
from batchrouter.ports.clock import Chance, Clock
from batchrouter.ports.jobs import JobLedger
from batchrouter.ports.ledger import Ledger
from batchrouter.ports.meters import Meters
from batchrouter.ports.results import Results
from batchrouter.ports.spill import Spill
from batchrouter.ports.wake import Wake

log = logging.getLogger(__name__)

TICK_S = 1.0


class Worker:
    """`run_once` of each part may be called by hand (tests do); `start` and `stop` run them as loops."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        jobs: JobLedger,
        calls: Calls,
        blobs: Blobs,
        results: Results,
        spill: Spill | None = None,
        wake: Wake,
        clock: Clock,
        chance: Chance,
        settings: EngineSettings,
        router: Router,
        upstreams: Upstreams,
        meters: Meters | None = None,
    ) -> None:
        self._ledger = ledger
        self._job_ledger = jobs
        self._calls = calls
        self._blobs = blobs
        self._reuse = Reuse(Keeping(results, calls, blobs), blobs)
        self._spill = spill
        self._wake = wake
        self._clock = clock
        self._chance = chance
        self._settings = settings
        self._router = router
        self._upstreams = upstreams
        self._claim_now = asyncio.Event()
        self._duty_now = asyncio.Event()
        self._job_now = asyncio.Event()
        self._fold_now = asyncio.Event()
        self._look_now = asyncio.Event()
        self._waiting: Sequence[WaitingGroup] | None = None
        """What the last look found, until a round of claims was made of it."""
        self._tasks: list[asyncio.Task[None]] = []
        self._anew: asyncio.Task[None] | None = None
        self._adopting: asyncio.Task[bool] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.traffic = Traffic(meters or Meters())
        self._begin_incarnation()

    def _begin_incarnation(self) -> None:
        """A worker that lost its lease goes on under a new name, with nothing of what it had."""
        self.id = f"w-{self._chance.hex(16)}"
        self._lease = Lease(self._ledger, self._clock, self.id, self._settings.lease_ms, self._hand_beat)
        self.spendings = Spendings(self._job_ledger, self._calls, None if self._settings.alone else self.id)
        self.dispatcher = Dispatcher(
            self._ledger,
            self._calls,
            self._blobs,
            self._spill,
            self._clock,
            self._chance,
            self._settings,
            self.id,
            self.traffic,
            self._upstreams,
            self.spendings,
            may_send=self._lease.held,
            hungry=self._claim_now.set,
            drained=self._duty_now.set,
        )
        copier = Copier(self._ledger, self._calls, self._blobs, self.dispatcher.journal, self._reuse)
        self.closer = Closer(
            self._ledger,
            self._calls,
            self._blobs,
            self._clock,
            self._chance,
            self.dispatcher.journal,
            copier,
            self._settings,
            self.id,
        )
        self.duties = Duties(
            self._ledger,
            self._calls,
            self._blobs,
            self._clock,
            self._router,
            self._upstreams,
            self._settings,
            self._reuse,
            copier,
            self.closer,
            self.id,
            DutyHints(
                again=self._duty_now.set,
                lines=self._on_planned,
                jobs=self._job_now.set,
                closing=self.dispatcher.drop,
                over=self.spendings.forget,
                told=self._wake.hint,
            ),
        )
        self.jobs = NativeJobs(
            JobTools(
                ledger=self._ledger,
                jobs=self._job_ledger,
                calls=self._calls,
                inputs=Inputs(self._blobs),
                clock=self._clock,
                chance=self._chance,
                journal=self.dispatcher.journal,
                spendings=self.spendings,
                settings=self._settings,
                strays=self.dispatcher.strays,
                worker=self.id,
            ),
            self._upstreams,
            held=self._lease.held,
            may_send=self.dispatcher.may_send,
            hurry=self._job_now.set,
            on_moved=self._claim_anew,
            on_ended=self.duties.on_job_ended,
        )
        self.folder = Folder(self._ledger, self._calls, self._blobs, self._clock, self._chance, self.traffic)
        self.sweeper = Sweeper(self._ledger, self._calls, self._blobs, self._clock, self._settings.linger_ms)

    # --- life -------------------------------------------------------------------------------------------------------

    async def adopt(self) -> None:
        """Settle what dead processes of this machine had finished, in their name: before anybody takes their lines. A
        store that refuses it is waited for a while, then it is tried again beside the work."""
        if self._spill is None:
            return
        meters = self.traffic.meters
        adopter = Adopter(self._ledger, self._calls, self._blobs, self._clock, self._spill, meters)
        if not await adopter.run(PATIENCE_S):
            self._adopting = asyncio.create_task(adopter.run(), name="adopt")

    async def enlist(self) -> None:
        asked_s = self._clock.boot_s()
        await self._calls.write(
            self._ledger.enlist, self.id, self._clock.unix_ms(), self._settings.lease_ms, alone=self._settings.alone
        )
        self._lease.begin(asked_s)
        if not self._settings.alone:  # before the first lane is made: who else is there?
            now_ms = self._clock.unix_ms()
            beat = await self._calls.write(self._ledger.beat, self.id, now_ms, self._settings.lease_ms, ())
            self.dispatcher.sharing.hear(beat)

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        await self.adopt()
        await self.enlist()
        self._lease.start()
        self._tasks = self._begin_loops()

    def _begin_loops(self) -> list[asyncio.Task[None]]:
        return [
            asyncio.create_task(self._listen(), name="listen"),
            loop_of(self._clock, "look", self._look_now, self._settings.poll_s, self.look),
            loop_of(self._clock, "duties", self._duty_now, None, self._all_duties),
            loop_of(self._clock, "claims", self._claim_now, None, self.claims_once),
            loop_of(self._clock, "jobs", self._job_now, None, self._all_jobs),
            loop_of(self._clock, "folds", self._fold_now, None, self._all_folds),
            loop_of(self._clock, "sweeps", asyncio.Event(), self._settings.sweep_every_s, self._sweep),
            loop_of(self._clock, "ticks", asyncio.Event(), TICK_S, self._alive),
            loop_of(self._clock, "notes", asyncio.Event(), TICK_S, self._note),
        ]

    async def stop(self, grace_s: float) -> None:
        """Send nothing more, let calls finish for `grace_s`, flush, give everything back."""
        if self._anew is not None:
            self._anew.cancel()
        for task in (*self._tasks, *self.duties.under_way.values()):
            if task.get_name() != "ticks":
                task.cancel()
        await asyncio.gather(self.jobs.drain(grace_s), self.dispatcher.drain(grace_s))
        await self.aclose()
        if self.dispatcher.journal.spilled:
            return  # who gives its shards back cannot settle what it finished of them
        try:
            await self._calls.write(self._ledger.resign, self.id)
        except StoreError as error:  # the lease ends by itself
            log.error("worker %s could not give back what it had: %s", self.id, error)

    def hurry(self) -> None:
        """While `stop` waits: end calls and steps now. What was answered is still written."""
        self.dispatcher.drop_all()
        self.jobs.end_steps()

    async def aclose(self) -> None:
        """Stop at once; nothing is given back, the lease will end."""
        tasks: list[asyncio.Task[Any]] = [*self._tasks, *self.duties.under_way.values()]
        tasks += [task for task in (self._anew, self._adopting) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks = []
        await asyncio.get_running_loop().run_in_executor(None, self._lease.stop)
        await self.jobs.aclose()
        await self.dispatcher.aclose()

    # --- the parts ----------------------------------------------------------------------------------------------------

    async def duties_once(self) -> int:
        """Take and do the steps that batches need; returns how many were done."""
        return sum(await asyncio.gather(*await self.duties.begin()))

    async def look(self) -> int:
        """See what there is to do, and hint at it to those who do it; returns how many were."""
        outlook = await self._calls.read(self._ledger.outlook, self.id, self._clock.unix_ms(), TOGETHER)
        wants = (
            (self._duty_now, outlook.duties),
            (self._job_now, outlook.jobs or await self.jobs.wants(outlook.waiting)),
            (self._fold_now, outlook.folds),
        )
        self.dispatcher.sharing.hear_quotas(outlook.quotas)
        self.dispatcher.halts.hear_paused(outlook.paused)
        self._waiting = outlook.waiting
        self._claim_now.set()  # also where nothing waits, which lanes should know
        for hint, wanted in wants:
            if wanted:
                hint.set()
        return sum(wanted for _, wanted in wants)

    async def claims_once(self) -> int:
        waiting, self._waiting = self._waiting, None
        return await self.dispatcher.claim(waiting)

    async def jobs_once(self) -> int:
        """One round of native jobs, to its end; returns how much was done."""
        return await self.jobs.run_once()

    async def tick(self) -> int:
        """What the loops do each second."""
        return await self._alive() + await self._note()

    # --- the loops ----------------------------------------------------------------------------------------------------

    async def _alive(self) -> int:
        """The event loop turns, and this is what it has and wants. Waits for nothing: a database that makes everybody
        wait must not look like a loop that hangs, and cost the lease."""
        self._lease.tick(self.dispatcher.loads(), self.dispatcher.sharing.tell())
        self.dispatcher.pump_all()
        return 0

    async def _note(self) -> int:
        await self.dispatcher.look()
        return await self.dispatcher.lanes.note() + await self.jobs.lanes.note()

    async def _all_duties(self) -> int:
        """Begin what is due. Each step that was done asks for another look, so that none waits for a slow one."""
        return len(await self.duties.begin())

    async def _all_jobs(self) -> int:
        """As with duties: a job that uploads for minutes holds up no other."""
        return len(await self.jobs.begin())

    async def _all_folds(self) -> int:
        """One round a look beside batches that run, because sending goes first; all that there is when none does."""
        total = 0
        while done := await self.folder.run_once():
            total += done
            if done < TOGETHER or self.dispatcher.busy:
                break
        return total

    async def _sweep(self) -> int:
        """One worker for all; and seldom what has to list all blobs."""
        now_ms, every_ms = self._clock.unix_ms(), int(self._settings.sweep_every_s * 1000)
        if not await self._calls.write(self._ledger.turn, "sweep", now_ms, every_ms * 9 // 10):
            return 0
        orphans = await self._calls.write(self._ledger.turn, "orphans", now_ms, ORPHANS_EVERY_MS)
        return await self.sweeper.run_once(orphans=orphans)

    async def _listen(self) -> None:
        """Hints of other processes, and of people: a batch was made or cancelled, lines are free."""
        while True:
            if await self._wake.wait(60.0):
                self._look_now.set()

    def _on_planned(self) -> None:
        self._wake.hint()  # there is work for the others too
        self._claim_anew()

    def _claim_anew(self) -> None:
        """There are lines of which the last look did not know."""
        self.dispatcher.forget_waiting()
        self._claim_now.set()

    # --- the lease ----------------------------------------------------------------------------------------------------

    @property
    def holds_lease(self) -> bool:
        """Whether it may send: it is enlisted, and was heard of in time."""
        return self._lease.held()

    def _hand_beat(self, beat: Beat) -> None:
        """In the lease's thread: hand over to the loop, unless nothing is to be done."""
        shared = not self._settings.alone
        if self._loop is not None and (shared or not beat.alive or beat.closing or beat.reaped):
            self._loop.call_soon_threadsafe(self._on_beat, beat)

    def _on_beat(self, beat: Beat) -> None:
        if not beat.alive:
            if self._anew is None or self._anew.done():
                self.traffic.meters.lease_losses += 1
                log.error("worker %s lost its lease; it drops its lines and begins anew", self.id)
                self._anew = asyncio.create_task(self._begin_anew(), name="anew")
            return
        self.dispatcher.sharing.hear(beat)
        for batch_id in beat.closing:
            self.dispatcher.drop(batch_id)
        if beat.closing:
            self._duty_now.set()
        if beat.reaped:
            self.traffic.meters.took_over(beat.reaped)
            log.warning("%d shards of workers that are gone are free", beat.reaped)
            self._wake.hint()
            self._claim_anew()

    async def _begin_anew(self) -> None:
        lost, jobs, lease = self.dispatcher, self.jobs, self._lease
        lost.drop_all()
        self.duties.cancel()
        await asyncio.get_running_loop().run_in_executor(None, lease.stop)
        await jobs.aclose()
        await lost.aclose()
        await lost.journal.let_go()
        self._begin_incarnation()
        while True:
            try:
                await self.enlist()
                break
            except BatchRouterError as error:
                log.error("worker %s could not announce itself: %s", self.id, error)
                await self._clock.sleep(FAULT_WAIT_S)
        self._lease.start()
