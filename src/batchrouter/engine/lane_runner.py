"""One lane at work: lines are loaded, sent at the lane's pace, and end in the journal or wait to be sent again.

Driven by callbacks, not by tasks: a reply frees a slot, is handed to the journal, and the next line goes out on the
same connection before the loop turns. Only loading, which waits for a disk, is a task, for many lines at a time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial

from batchrouter.domain.checked.judge import Judges
from batchrouter.domain.cost import RateCard
from batchrouter.domain.lane_health import LaneHealth, LaneState
from batchrouter.domain.routing import Resolved
from batchrouter.domain.shard import Claim, Lane
from batchrouter.engine.admission import Admission
from batchrouter.engine.budget import Budget
from batchrouter.engine.ends import LineEnds
from batchrouter.engine.fault import told
from batchrouter.engine.gate import Gate
from batchrouter.engine.held import BatchRun, Held, Share
from batchrouter.engine.held_back import HeldBack
from batchrouter.engine.journal import Journal
from batchrouter.engine.later import Later
from batchrouter.engine.leaving import Leaving
from batchrouter.engine.line_call import LineCall
from batchrouter.engine.loader import Loader
from batchrouter.engine.member import MemberAtWork
from batchrouter.engine.moving import Mover
from batchrouter.engine.pool import Pool
from batchrouter.engine.probing import ProbeTurn
from batchrouter.engine.send_rate import SendRate
from batchrouter.engine.settings import EngineSettings
from batchrouter.engine.setup import LaneSetup
from batchrouter.engine.sharing import Sharing
from batchrouter.engine.traffic import Traffic
from batchrouter.input import Inputs
from batchrouter.ports.clock import Chance, Clock, Timer

log = logging.getLogger(__name__)

LOAD_AGAIN_S = 1.0
KEEP_S, KEEP_MOST_S = 0.3, 6.0
"""Claimed work that a lane keeps at hand: at least what it sends in the first time, so that claiming never holds up
sending; and up to the second, so that it is seldom asked for, where much more waits than that."""


class LaneRunner:
    def __init__(
        self,
        lane: Lane,
        setup: LaneSetup,
        card: RateCard | None,
        fallbacks: Callable[[str, str], Sequence[Resolved]],
        settings: EngineSettings,
        *,
        rate: float,
        inputs: Inputs,
        journal: Journal,
        mover: Mover,
        budget: Budget,
        traffic: Traffic,
        clock: Clock,
        chance: Chance,
        gate: Gate,
        sharing: Sharing,
        on_hungry: Callable[[], None],
    ) -> None:
        """What was learnt of the lane, and where it begins to learn, is for all workers together."""
        self.lane = lane
        self.probe = ProbeTurn(alone=sharing.alone)
        self._paused_for_all = False
        self.more_waiting = True
        """Whether the last round of claims left something; without it, hunger is not worth another round."""
        self._pause_after = settings.pause_after_failures
        self._budget = budget
        self._traffic = traffic
        self._clock = clock
        self._gate = gate
        self._on_hungry = on_hungry
        self._shares: dict[str, Share] = {}
        self._flying: set[LineCall] = set()
        self._later = Later()
        self._loading: asyncio.Task[None] | None = None
        self._timer: Timer | None = None
        self._timer_s = 0.0
        self._pump_due = False
        self._call_soon = asyncio.get_running_loop().call_soon
        self._rate = SendRate(clock.mono_s())
        judges = Judges() if settings.check_outputs else None
        self.loader = Loader(lane.key, setup.members[0].wire, card, fallbacks, inputs, budget, judges)
        self._held_back = HeldBack(self.loader, lane.id, self._pump_soon)
        self._ends = LineEnds(
            lane,
            card,
            settings.retry,
            loader=self.loader,
            later=self._later,
            held_back=self._held_back,
            journal=journal,
            mover=mover,
            budget=budget,
            chance=chance,
            pump_soon=self._pump_soon,
        )
        self._admission = Admission(lane.id, self.loader, self._held_back, self._ends, self._pump_soon)
        self.pool = self._ends.pool = Pool(
            tuple(
                MemberAtWork(
                    sharing.slower(member),
                    self._ends,
                    LaneHealth(LaneState(lane.state), lane.reason),
                    None if lane.limit is None else lane.limit // (len(setup.members) * sharing.workers),
                    settings.retry,
                    flying=self._flying,
                    rate=self._rate,
                    traffic=traffic,
                    budget=budget,
                    clock=clock,
                    probe=self.probe,
                    share=partial(sharing.pace, lane.id, member.name or str(place)),
                )
                for place, member in enumerate(setup.members)
            )
        )
        self._leaving = Leaving(
            lane.key,
            self.pool,
            self.loader,
            self._later,
            mover,
            self._end_calls,
            rate=rate,
            margin_s=settings.overtake_margin_s,
        )
        self._tell_time(clock.mono_s())

    # --- what the dispatcher asks ---------------------------------------------------------------------------------

    @property
    def in_flight(self) -> int:
        return len(self._flying)

    @property
    def retrying(self) -> int:
        return len(self._later)

    @property
    def busy(self) -> bool:
        """Whether it has a line, under way or not."""
        return bool(self._flying or self.loader.at_hand or len(self._later) or self._held_back)

    def on_row(self, state: str) -> None:
        """The lane's row as it stands in the store. What all workers were refused and one of them is answered again,
        works for all."""
        if self.pool.state is not LaneState.PAUSED:
            self._paused_for_all = False
        elif state == LaneState.PAUSED:
            self._paused_for_all = True
        elif state == LaneState.OPEN and self._paused_for_all:
            self._paused_for_all = False
            now_s = self._clock.mono_s()
            for member in self.pool.members:
                member.health.on_resumed(now_s, only=self.pool.only is not None)
            self.pump()

    def appetite(self, share: int = 0) -> int:
        """How many more lines the lane would like to have claimed, if `share` of what waits is this worker's: half of
        its part, so that all workers end a batch together."""
        at_hand = self.loader.at_hand
        if not self.pool.open:
            return 1 - at_hand - len(self._flying)
        least, most = (
            max(2 * self.pool.limit, int(self._rate.a_second * KEEP_S)),
            int(self._rate.a_second * KEEP_MOST_S),
        )
        if at_hand < most // 2:
            least = max(least, min(most, share))
        return least - at_hand

    def in_flight_of(self, batch_id: str) -> int:
        return sum(line.held.batch.id == batch_id for line in self._flying)

    def loads(self) -> dict[str, tuple[int, int]]:
        """(in flight, retrying) by batch."""
        loads: dict[str, tuple[int, int]] = {}
        for line in self._flying:
            flying, waiting = loads.get(line.held.batch.id, (0, 0))
            loads[line.held.batch.id] = (flying + 1, waiting)
        self._later.add_loads(loads)
        return loads

    def pauses(self) -> dict[str, tuple[str, float | None]]:
        """(reason, when a line is tried next, if that is known) of batches that wait here though the lane does not."""
        return self._held_back.pauses()

    def held_lines(self) -> dict[str, tuple[str, int]]:
        """Lines at hand, by batch: (tenant, count). Not those that are loaded: they are as good as sent, and a batch
        that has no others needs more now, to keep its turns."""
        return {batch.id: (batch.tenant_id, count) for batch, count in self.loader.queue.held()}

    def holds_back(self, batch_id: str) -> bool:
        """Whether lines of the batch wait here for something else than room."""
        return self._held_back.holds(batch_id)

    def hold_back(self, batch_id: str) -> None:
        """The batch is halted: what is at hand of it is put apart, until a `pump` finds that it no longer is."""
        share = self._shares.get(batch_id)
        if share is not None:
            self._held_back.hold(share)

    def gives_up(self) -> bool:
        """Whether the lane cannot serve, so that lines with another to go to should be claimed only to leave."""
        return not self.pool.open and self.pool.gives_up(self._clock.mono_s())

    def leads_on(self, batch_id: str) -> bool | None:
        """Whether lines of the batch have another lane to go to; None: none of it has been here."""
        share = self._shares.get(batch_id)
        return None if share is None else share.leads_on

    async def accept(self, claim: Claim, batch: BatchRun) -> None:
        """Take a claimed shard in. Raises a `BatchRouterError` when its input cannot be read."""
        if batch.dropped:  # by a pause, while a shard before this one was read: a share of it would outlive it here
            return
        share = self._shares.get(batch.id)
        if share is None:
            share = self._shares[batch.id] = Share(batch, self._pause_after)
        await self.loader.accept(claim, share)
        if share.held_back and not batch.dropped:
            self._held_back.hold(share)
        self._leaving.soon()

    def drop(self, batch_id: str) -> None:
        """Forget the batch: sockets of its calls are closed, nothing of it is sent or journaled any more."""
        self._shares.pop(batch_id, None)
        self.loader.drop(batch_id)
        self._later.drop(batch_id)
        self._held_back.drop(batch_id)
        self._end_calls(batch_id)
        self.pump()

    def _end_calls(self, batch_id: str) -> list[tuple[Held, int]]:
        """Nobody hears of those that are under way any more; returns their lines."""
        now_s = self._clock.mono_s()
        lines = [line for line in self._flying if line.held.batch.id == batch_id]
        for line in lines:
            line.owner.forget(line, now_s)
            self._ends.release(line)
        return [(line.held, line.place) for line in lines]

    async def aclose(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.gather(self._loading, return_exceptions=True)
        for line in self._flying:
            line.held.batch.tenant.in_flight -= 1
            if line.call is not None:
                line.call.abort()
        self._traffic.in_flight -= len(self._flying)
        self._flying.clear()

    # --- sending --------------------------------------------------------------------------------------------------

    def pump(self) -> None:
        """Send what may be sent now; see to it that there is more to send, or a time to look again. Never raises, for
        who asks has other lanes to care for."""
        self._pump_due = False
        try:
            self._pump(self._clock.mono_s())
        except Exception as error:
            log.error("lane %s/%s could not send: %s", self.lane.key.provider, self.lane.key.model, told(error))

    def _pump(self, now_s: float) -> None:
        loader = self.loader
        ready, queue = loader.ready, loader.queue
        for held, place in self._later.due(now_s):
            if held.share.held_back:
                held.share.aside.append((held, place))
            else:
                queue.put_back(held, place)
        if not self._gate.may_send():
            return
        if self._held_back:
            self._held_back.let_in(now_s, self.pool.room(now_s))
        only, may_go = self.pool.only, self._admission.may_go
        if only is not None:
            room, budget = only.room(now_s), self._budget
            while room > 0 and ready and not (budget.used > budget.total and self._full()):
                line = ready.popleft()
                if (line.more is None and line.held.batch.tenant.cap is None) or may_go(line):
                    room -= 1
                    only.send(line, now_s)
        else:
            self._spread(now_s)
        self._leaving.look(self._shares.values(), now_s)
        short = len(ready) < self._ready_low()
        # Without room nothing is loaded: whoever gives bytes back has all lanes pumped.
        if short and queue.count and self._loading is None and loader.has_room():
            self._loading = asyncio.get_running_loop().create_task(self._load())
        # Dry: a batch must not lose its turns to those that have more at hand.
        if self.more_waiting and (queue.dry or (short and not queue.count and self.appetite() > 0)):
            queue.dry = False
            self._on_hungry()
        self._arm(now_s)

    def _pump_soon(self) -> None:
        """Pump when the replies that came in this turn of the loop have been handled: so the requests that follow go
        out together, which wakes the upstream once instead of once for each."""
        if not self._pump_due:
            self._pump_due = True
            self._call_soon(self.pump)

    def _spread(self, now_s: float) -> None:
        """Each line to the member that has the most room."""
        ready = self.loader.ready
        while ready and not (self._budget.over and self._full()):
            member = self.pool.roomiest(now_s)
            if member is None:
                break
            line = ready.popleft()
            if (line.more is None and line.held.batch.tenant.cap is None) or self._admission.may_go(line):
                member.send(line, now_s)

    def _full(self) -> bool:
        """Over the budget a line goes out only if nothing of the lane is under way, and none before a flush that is to
        free most of it."""
        return bool(self._flying) or self._budget.flush_first

    def _ready_low(self) -> int:
        """Loaded lines below which more are loaded: enough for 50 ms, for loading takes a few."""
        return max(self.pool.limit // 4, int(self._rate.a_second * 0.05), 8)

    def _arm(self, now_s: float) -> None:
        """One timer for whatever comes first: a line's next try, a member's wait or probe, a paused batch's next."""
        at_s = self._later.next_s
        if self.loader.at_hand:
            other = self.pool.next_s(now_s)
            if other is not None and (at_s is None or other < at_s):
                at_s = other
        if self._held_back:
            other = self._held_back.next_s()
            if other is not None and (at_s is None or other < at_s):
                at_s = other
        if at_s is None:
            return
        if self._timer is not None:
            if self._timer_s <= at_s:
                return
            self._timer.cancel()
        self._timer_s = at_s
        self._timer = self._clock.call_at(at_s, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.pump()

    # --- loading --------------------------------------------------------------------------------------------------

    async def _load(self) -> None:
        loader = self.loader
        try:
            while loader.queue.count:
                now_s = self._clock.mono_s()
                self._rate.measure(now_s)
                self._tell_time(now_s)
                low, ready = self._ready_low(), len(loader.ready)
                if ready >= low:
                    break
                loaded = await loader.load(2 * low - ready)
                for line in loaded.broken:
                    line.sent_s = self._clock.mono_s()
                    self._ends.try_again(line, line.sent_s)
                for line, refusal in loaded.refused:
                    self._ends.refuse(line, refusal)
                if loaded.unread:
                    self._set_aside(loaded.unread)
                if not loaded.taken:
                    break
                self.pump()
        finally:
            self._loading = None
        self.pump()

    def _tell_time(self, now_s: float) -> None:
        self._ends.unix_offset_s = self._clock.unix_ms() / 1000 - now_s

    def _set_aside(self, unread: list[tuple[Held, int]]) -> None:
        """These lines, and all of their batches that would be read next, wait a while; other batches go by."""
        at_s = self._clock.mono_s() + LOAD_AGAIN_S
        for batch_id in {held.batch.id for held, _ in unread}:
            unread.extend(self.loader.queue.take_all(batch_id))
        for held, place in unread:
            self._later.add(at_s, held, place)
