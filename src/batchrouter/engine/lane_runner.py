"""One lane at work: lines are loaded, sent at the lane's pace, and end in the journal or wait to be sent again.

Driven by callbacks, not by tasks: a reply frees a slot, is handed to the journal, and the next line goes out on the
same connection before the loop turns. Only loading, which waits for a disk, is a task, for many lines at a time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

from batchrouter.domain.lane_health import LaneHealth, LaneState
from batchrouter.domain.outcome import Outcome
from batchrouter.domain.pacing import Limiter, Verdict
from batchrouter.domain.rate_headers import NO_SIGNALS, read_body_retry, read_signals
from batchrouter.domain.retry import (
    NO_TRIES,
    Again,
    Kind,
    PauseLane,
    RetrySettings,
    classify,
    next_step,
    reason_of,
    verdict_of,
)
from batchrouter.domain.shard import Lane
from batchrouter.engine.budget import Budget
from batchrouter.engine.fault import told
from batchrouter.engine.gate import Gate
from batchrouter.engine.held import Held
from batchrouter.engine.input import Inputs
from batchrouter.engine.journal import Journal
from batchrouter.engine.later import Later
from batchrouter.engine.line_call import LineCall
from batchrouter.engine.line_end import Fields, of_error, of_reply
from batchrouter.engine.loader import Loader
from batchrouter.engine.send_rate import SendRate
from batchrouter.engine.setup import LaneSetup
from batchrouter.engine.traffic import Traffic
from batchrouter.errors import ReplyBroken, TransportError
from batchrouter.ports.clock import Chance, Clock, Timer
from batchrouter.providers.base import Reply

log = logging.getLogger(__name__)

LOAD_AGAIN_S = 1.0
KEEP_S = 0.3
"""Claimed work that a lane keeps at hand: what it sends in this time, so that claiming never holds up sending."""
BYTES_PER_TOKEN = 4
End = Reply | TransportError


class LaneRunner:
    def __init__(
        self,
        lane: Lane,
        setup: LaneSetup,
        retry: RetrySettings,
        *,
        inputs: Inputs,
        journal: Journal,
        budget: Budget,
        traffic: Traffic,
        clock: Clock,
        chance: Chance,
        gate: Gate,
        on_hungry: Callable[[], None],
    ) -> None:
        self.lane = lane
        member = setup.members[0]
        self._wire = member.wire
        self._link = member.link
        self._retry = retry
        self._journal = journal
        self._budget = budget
        self._traffic = traffic
        self._clock = clock
        self._chance = chance
        self._gate = gate
        self._on_hungry = on_hungry
        self.more_waiting = True
        """Whether the last round of claims left something; without it, hunger is not worth another round."""
        self.limiter = Limiter(member.pacing, lane.limit)
        self.health = LaneHealth(LaneState(lane.state), lane.reason)
        self._heads: dict[str, bytes] = {}
        self.loader = Loader(self, lane.key.model, member.wire, inputs, budget)
        self._flying: set[LineCall] = set()
        self._waiting = Later()
        self._loading: asyncio.Task[None] | None = None
        self._timer: Timer | None = None
        self._timer_s = 0.0
        self._pump_due = False
        self._call_soon = asyncio.get_running_loop().call_soon
        self._rate = SendRate(clock.mono_s())
        self._unix_offset_s = clock.unix_ms() / 1000 - clock.mono_s()

    # --- what the dispatcher asks ---------------------------------------------------------------------------------

    @property
    def in_flight(self) -> int:
        return len(self._flying)

    @property
    def retrying(self) -> int:
        return len(self._waiting)

    def appetite(self) -> int:
        """How many more lines the lane would like to have claimed."""
        at_hand = self.loader.at_hand
        if not self.health.open:
            return 1 - at_hand - len(self._flying)
        return max(2 * self.limiter.limit, int(self._rate.a_second * KEEP_S)) - at_hand

    def loads(self) -> dict[str, tuple[int, int]]:
        """(in flight, retrying) by batch."""
        loads: dict[str, tuple[int, int]] = {}
        for line in self._flying:
            flying, waiting = loads.get(line.held.batch.id, (0, 0))
            loads[line.held.batch.id] = (flying + 1, waiting)
        self._waiting.add_loads(loads)
        return loads

    def held_lines(self) -> dict[str, tuple[str, int]]:
        """Lines at hand, by batch: (tenant, count). Not those that are loaded: they are as good as sent, and a batch
        that has no others needs more now, to keep its turns."""
        return {batch.id: (batch.tenant_id, count) for batch, count in self.loader.queue.held()}

    def drop(self, batch_id: str) -> None:
        """Forget the batch: sockets of its calls are closed, nothing of it is sent or journaled any more."""
        self.loader.drop(batch_id)
        self._waiting.drop(batch_id)
        now_s = self._clock.mono_s()
        for line in [line for line in self._flying if line.held.batch.id == batch_id]:
            if line.call is not None:
                line.call.abort()
            self._flying.discard(line)
            self._traffic.in_flight -= 1
            self.limiter.on_end(line.sent_s, now_s, Verdict.IGNORED)
            if not self.health.open:
                self.health.on_probe_gone()
            self.loader.release(line)
        self.pump()

    async def aclose(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.gather(self._loading, return_exceptions=True)
        for line in self._flying:
            if line.call is not None:
                line.call.abort()
        self._traffic.in_flight -= len(self._flying)
        self._flying.clear()

    # --- sending --------------------------------------------------------------------------------------------------

    def pump(self) -> None:
        """Send what may be sent now; see to it that there is more to send, or a time to look again."""
        self._pump_due = False
        now_s = self._clock.mono_s()
        for held, place in self._waiting.due(now_s):
            self.loader.queue.put_back(held, place)
        if not self._gate.may_send():
            return
        ready, queue = self.loader.ready, self.loader.queue
        room = self.limiter.room(now_s)
        if room and not self.health.open:
            room = min(room, self.health.may_send(now_s))
        if self._budget.over:  # then only if nothing of the lane is under way
            room = min(room, 1 - len(self._flying))
        while room > 0 and ready:
            room -= 1
            self._send(ready.popleft(), now_s)
        short = len(ready) < self._ready_low()
        # Without room nothing is loaded: whoever gives bytes back has all lanes pumped.
        if short and queue.count and self._loading is None and self.loader.has_room():
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

    def _send(self, line: LineCall, now_s: float) -> None:
        endpoint = line.held.batch.endpoint
        head = self._heads.get(endpoint)
        if head is None:
            head = self._heads[endpoint] = self._wire.head(endpoint)
        line.sent_s = now_s
        line.attempts += 1
        self.limiter.on_sent(now_s, self._estimate(line))
        if not self.health.open:
            self.health.on_probe_sent(now_s)
        self._flying.add(line)
        traffic = self._traffic
        traffic.calls += 1
        traffic.in_flight += 1
        if traffic.in_flight > traffic.peak:
            traffic.peak = traffic.in_flight
        self._rate.sent += 1
        line.call = self._link.send(b"%b%d\r\n\r\n" % (head, len(line.body)), line.body, line)

    def _estimate(self, line: LineCall) -> int:
        """Tokens that the line may cost, by its size; only a lane with a token limit asks."""
        return len(line.body) // BYTES_PER_TOKEN if self.limiter.settings.tpm is not None else 0

    def _ready_low(self) -> int:
        """Loaded lines below which more are loaded: enough for 50 ms, for loading takes a few."""
        return max(self.limiter.limit // 4, int(self._rate.a_second * 0.05), 8)

    def _arm(self, now_s: float) -> None:
        """One timer for whatever comes first: a line's next try, the limiter's wait, the next probe."""
        at_s = self._waiting.next_s
        if self.loader.at_hand:
            for other in (self.limiter.next_at(now_s), self.health.waiting_until_s):
                if other is not None and other > now_s and (at_s is None or other < at_s):
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
        try:
            while self.loader.queue.count:
                now_s = self._clock.mono_s()
                self._rate.measure(now_s)
                self._unix_offset_s = self._clock.unix_ms() / 1000 - now_s
                low, ready = self._ready_low(), len(self.loader.ready)
                if ready >= low:
                    break
                taken, unread, broken = await self.loader.load(2 * low - ready)
                for line in broken:
                    line.sent_s = self._clock.mono_s()
                    self._try_again(line, line.sent_s)
                if unread:
                    self._set_aside(unread)
                if not taken:
                    break
                self.pump()
        finally:
            self._loading = None
        self.pump()

    def _set_aside(self, unread: list[tuple[Held, int]]) -> None:
        """These lines, and all of their batches that would be read next, wait a while; other batches go by."""
        at_s = self._clock.mono_s() + LOAD_AGAIN_S
        for batch_id in {held.batch.id for held, _ in unread}:
            unread.extend(self.loader.queue.take_all(batch_id))
        for held, place in unread:
            self._waiting.add(at_s, held, place)

    # --- how calls end --------------------------------------------------------------------------------------------

    def on_reply(self, line: LineCall) -> None:
        now_s = self._clock.mono_s()
        self._flying.discard(line)
        self._traffic.in_flight -= 1
        slots = self.limiter.in_flight
        try:
            self._on_reply(line, now_s)
        except Exception as error:
            self._on_fault(line, error, now_s, slots)

    def _on_reply(self, line: LineCall, now_s: float) -> None:
        chunks = line.chunks
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        self._budget.learn(len(body))
        status = line.status
        signals = read_signals(status, line.headers, now_s + self._unix_offset_s)
        reply = self._wire.decode(line.held.batch.endpoint, status, body)
        if 200 <= status < 300 and reply.usable:
            used = reply.tokens.input + reply.tokens.output
            self.limiter.on_end(line.sent_s, now_s, Verdict.SUCCESS, signals, used, self._estimate(line))
            self.health.on_answer(line.sent_s, now_s)
            text, fields = of_reply(line, Outcome.SUCCEEDED, reply, self.lane.id, now_s)
            self._finish(line, text, fields, reply.model)
            self._pump_soon()
            return
        error = None if reply.usable else ReplyBroken("the reply is not JSON")
        kind = classify(status, reply.code, error, signals)
        retry_after_s = signals.retry_after_s
        if retry_after_s is None and kind is Kind.BUSY:
            retry_after_s = read_body_retry(body)
        self.limiter.on_end(line.sent_s, now_s, verdict_of(kind, error), signals)
        self._after_failure(line, kind, reply, reason_of(status, reply.code, error), now_s, retry_after_s)
        self._pump_soon()

    def on_failure(self, line: LineCall, error: TransportError) -> None:
        now_s = self._clock.mono_s()
        self._flying.discard(line)
        self._traffic.in_flight -= 1
        slots = self.limiter.in_flight
        try:
            # The first losses of a line may be idle connections that were closed; after those the upstream is to blame.
            resent = line.held.tries.get(line.place, NO_TRIES).resent
            kind = classify(None, None, error, NO_SIGNALS, reused=resent < self._retry.resend_max)
            self.limiter.on_end(line.sent_s, now_s, verdict_of(kind, error))
            self._after_failure(line, kind, error, reason_of(None, None, error), now_s, None)
        except Exception as error_of_ours:
            self._on_fault(line, error_of_ours, now_s, slots)
        self._pump_soon()

    def on_more(self, line: LineCall) -> None:
        more, line.spare = -line.spare, 0
        line.taken += more
        self.loader.bytes += more
        self._budget.take(more)

    def _on_fault(self, line: LineCall, error: Exception, now_s: float, slots: int) -> None:
        """A call ended (`slots` were in flight before) in what nobody foresaw; nobody else will care for its line."""
        log.error("the end of a call for %s failed: %s", line.held.batch.id, told(error))
        if self.limiter.in_flight == slots:
            self.limiter.on_end(line.sent_s, now_s, Verdict.IGNORED)
        if not self.health.open:
            self.health.on_probe_gone()
        self._try_again(line, now_s)
        self._pump_soon()

    def _try_again(self, line: LineCall, now_s: float) -> None:
        """After a fault, always counted: so a line that raises each time fails in the end."""
        held, place = line.held, line.place
        tries = held.tries.get(place, NO_TRIES)
        tries = replace(tries, counted=tries.counted + 1)
        if tries.counted >= self._retry.max_attempts:
            self._finish(line, *of_error(line, ReplyBroken("it could not be read"), self.lane.id, now_s), None)
            return
        held.tries[place] = tries
        held.attempts[place] = line.attempts
        self.loader.release(line)
        self._waiting.add(
            now_s + min(self._retry.backoff_s * 2.0**tries.counted, self._retry.backoff_max_s), held, place
        )

    def _after_failure(
        self, line: LineCall, kind: Kind, end: End, reason: str, now_s: float, retry_after_s: float | None
    ) -> None:
        held, place, sent_s = line.held, line.place, line.sent_s
        tries = held.tries.get(place, NO_TRIES)
        number = held.shard_id << 16 | place
        if kind is Kind.LINE_FAULT:
            self.health.on_answer(sent_s, now_s)
        else:
            self.health.on_failure(kind, number, tries.counted, sent_s, now_s, reason)
        deadline_s, view, chance = held.batch.deadline_s, self.health.view(number), self._chance.fraction()
        step = next_step(kind, tries, sent_s, now_s, deadline_s, view, self._retry, chance, retry_after_s, reason)
        if isinstance(step, Again):
            if kind is Kind.BUSY and retry_after_s is not None:
                self.health.on_wait(now_s + retry_after_s, now_s, reason)
                self.limiter.pause_until(now_s + retry_after_s)
            held.tries[place] = step.tries
            self._waiting.add(step.at_s, held, place)
            held.attempts[place] = line.attempts
            self.loader.release(line)
        elif isinstance(step, PauseLane):
            self.health.on_lane_down(step.reason, sent_s, now_s, step.until_s, step.certain)
            held.tries[place] = step.tries
            held.attempts[place] = line.attempts
            self.loader.release(line)
            self.loader.queue.put_last(held, place)
        elif isinstance(end, Reply):
            self._finish(line, *of_reply(line, Outcome.FAILED, end, self.lane.id, now_s), end.model)
        else:
            self._finish(line, *of_error(line, end, self.lane.id, now_s), None)

    def _finish(self, line: LineCall, text: bytes, fields: Fields, model: str | None) -> None:
        """The line is done: its bytes go over to the journal."""
        held, batch = line.held, line.held.batch
        self._journal.add(batch.id, text, fields, len(text), model)  # first: if it raises, the line is still open
        if held.tries:
            held.tries.pop(line.place, None)
        batch.open -= 1
        self._budget.adjust(line.taken, len(text))
        self.loader.bytes -= line.taken
        if not batch.open:
            self._journal.flush(batch.id)
