"""One member of a lane's pool at work: it sends lines with its own key, at its own pace, and hears how they end.

What an end tells of the upstream is noted here, in the member's limiter and health; what becomes of the line is the
lane's to decide.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from batchrouter.domain.lane_health import LaneHealth
from batchrouter.domain.pacing import Limiter
from batchrouter.domain.rate_headers import NO_SIGNALS, read_body_retry, read_signals
from batchrouter.domain.retry import NO_TRIES, Kind, RetrySettings, classify, reason_of, verdict_of
from batchrouter.domain.shared_pace import SharedPace
from batchrouter.domain.tokens import BYTES_PER_TOKEN
from batchrouter.domain.verdict import Verdict
from batchrouter.engine.budget import Budget
from batchrouter.engine.line_call import LineCall
from batchrouter.engine.probing import ProbeTurn
from batchrouter.engine.send_rate import SendRate
from batchrouter.engine.setup import Member
from batchrouter.engine.traffic import Traffic
from batchrouter.errors import ReplyBroken, TransportError
from batchrouter.ports.clock import Clock
from batchrouter.providers.base import Reply

End = Reply | TransportError
Share = Callable[[Limiter], SharedPace | None]

_SUCCESS = Verdict.SUCCESS  # a member of an enum costs a search each time


class Ends(Protocol):
    """The lane, which hears of each call once. `unix_offset_s`: what the wall clock is ahead of the monotonic one."""

    unix_offset_s: float
    lane_id: int

    def answered(self, line: LineCall, reply: Reply, now_s: float) -> None:
        """A good answer."""
        ...

    def failed(
        self,
        line: LineCall,
        member: MemberAtWork,
        kind: Kind,
        end: End,
        reason: str,
        now_s: float,
        retry_after_s: float | None,
    ) -> None:
        """Any other end. The member's limiter knows of it, its health not yet."""
        ...

    def broke(self, line: LineCall, error: Exception, now_s: float) -> None:
        """A fault of ours while the end was handled; nobody else will care for the line."""
        ...

    def on_more(self, line: LineCall) -> None: ...


class MemberAtWork:
    """Owner of the calls that it sends. `flying`, `rate` and `traffic` are shared with the lane and the worker."""

    __slots__ = (
        "_budget",
        "_calls",
        "_clock",
        "_counts_tokens",
        "_decode",
        "_flying",
        "_heads",
        "_lane",
        "_link_send",
        "_probe",
        "_rate",
        "_resend_max",
        "_traffic",
        "_wire",
        "health",
        "limiter",
        "name",
        "shared",
    )

    def __init__(
        self,
        member: Member,
        lane: Ends,
        health: LaneHealth,
        learnt: int | None,
        retry: RetrySettings,
        *,
        flying: set[LineCall],
        rate: SendRate,
        traffic: Traffic,
        budget: Budget,
        clock: Clock,
        probe: ProbeTurn,
        share: Share,
    ) -> None:
        self.name = member.name
        self.limiter = Limiter(member.pacing, learnt)
        self._counts_tokens = member.pacing.tpm is not None
        self.shared = share(self.limiter)
        """What it has of its key's known limits; None where no other worker can be."""
        self.health = health
        self._probe = probe
        self._lane = lane
        self._wire = member.wire
        self._decode = member.wire.decode
        self._link_send = member.link.send
        self._resend_max = retry.resend_max
        self._flying = flying
        self._rate = rate
        self._traffic = traffic
        self._calls = traffic.meters.calls_of(lane.lane_id)
        self._budget = budget
        self._clock = clock
        self._heads: dict[str, bytes] = {}

    # --- sending --------------------------------------------------------------------------------------------------

    def room(self, now_s: float) -> int:
        """How many lines may be sent now."""
        room = self.limiter.room(now_s)
        if room and not self.health.open:
            room = min(room, self.health.may_send(now_s))
            if room and self.health.needs_person and not self._probe.mine(now_s, self.health.next_probe_s):
                return 0
        return room

    def next_s(self, now_s: float) -> float | None:
        """When there may be room without the end of a call: what was told to wait for, or the next probe."""
        at_s = self.limiter.next_at(now_s)
        probe_s = self.health.waiting_until_s
        if probe_s is None or probe_s <= now_s:
            return at_s
        return probe_s if at_s is None else min(at_s, probe_s)

    def send(self, line: LineCall, now_s: float) -> None:
        endpoint = line.held.batch.endpoint
        head = self._heads.get(endpoint)
        if head is None:
            head = self._heads[endpoint] = self._wire.head(endpoint)
        line.owner = self
        usual = self._budget.reply
        if usual > 2 * line.spare:  # it was made ready when replies were thought to be smaller
            line.spare -= int(usual)
            self._lane.on_more(line)
            line.spare += int(usual)
        line.sent_s = now_s
        line.attempts += 1
        line.number = self.limiter.on_sent(now_s, self._estimate(line) if self._counts_tokens else 0)
        if not self.health.open:
            self.health.on_probe_sent(now_s)
        self._flying.add(line)
        traffic = self._traffic
        traffic.calls += 1
        traffic.in_flight += 1
        line.held.batch.tenant.in_flight += 1
        if traffic.in_flight > traffic.peak:
            traffic.peak = traffic.in_flight
        self._rate.sent += 1
        line.call = self._link_send(b"%b%d\r\n\r\n" % (head, len(line.body)), line.body, line)

    def forget(self, line: LineCall, now_s: float) -> None:
        """The call is wanted no more: its socket is closed, and nothing is learnt from it."""
        if line.call is not None:
            line.call.abort()
        self._flying.discard(line)
        self._traffic.in_flight -= 1
        line.held.batch.tenant.on_end()
        self.limiter.on_end(line.sent_s, now_s, Verdict.IGNORED)
        if not self.health.open:
            self.health.on_probe_gone()

    def _estimate(self, line: LineCall) -> int:
        """Tokens that the line may cost, by its size; only a member with a token limit asks."""
        return len(line.body) // BYTES_PER_TOKEN

    # --- how calls end --------------------------------------------------------------------------------------------

    def on_reply(self, line: LineCall) -> None:
        now_s = self._clock.mono_s()
        limiter, batch = self.limiter, line.held.batch
        self._flying.discard(line)
        self._traffic.in_flight -= 1
        batch.tenant.on_end()
        slots = limiter.in_flight
        try:
            chunks = line.chunks
            body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
            self._budget.learn(len(body))
            status = line.status
            self._calls[status] = self._calls.get(status, 0) + 1
            headers = line.headers
            signals = read_signals(status, headers, now_s + self._lane.unix_offset_s) if headers else NO_SIGNALS
            if line.more is None:
                reply = self._decode(batch.endpoint, status, body)
            else:
                reply = self._decode(batch.endpoint, status, body, line.more.note)
            if 200 <= status < 300 and reply.usable:
                estimate = self._estimate(line) if self._counts_tokens else 0
                limiter.on_end(line.sent_s, now_s, _SUCCESS, signals, line.number, reply.tokens, estimate)
                self.health.on_answer(line.sent_s, now_s)
                self._lane.answered(line, reply, now_s)
                return
            error = None if reply.usable else ReplyBroken("the reply is not JSON")
            kind = classify(status, reply.code, error, signals)
            retry_after_s = signals.retry_after_s
            if retry_after_s is None and kind is Kind.BUSY:
                retry_after_s = read_body_retry(body)
                signals = replace(signals, retry_after_s=retry_after_s)
            limiter.on_end(line.sent_s, now_s, verdict_of(kind, error), signals, line.number)
            reason = reason_of(status, reply.code, error)
            self._lane.failed(line, self, kind, reply, reason, now_s, retry_after_s)
        except Exception as error_of_ours:
            self._broke(line, error_of_ours, now_s, slots)

    def on_failure(self, line: LineCall, error: TransportError) -> None:
        now_s = self._clock.mono_s()
        self._flying.discard(line)
        self._traffic.in_flight -= 1
        line.held.batch.tenant.on_end()
        slots = self.limiter.in_flight
        failed = type(error).__name__
        self._calls[failed] = self._calls.get(failed, 0) + 1
        try:
            # The first losses of a line may be idle connections that were closed; after those the upstream is to blame.
            resent = line.held.tries.get(line.place, NO_TRIES).resent
            kind = classify(None, None, error, NO_SIGNALS, reused=resent < self._resend_max)
            self.limiter.on_end(line.sent_s, now_s, verdict_of(kind, error))
            self._lane.failed(line, self, kind, error, reason_of(None, None, error), now_s, None)
        except Exception as error_of_ours:
            self._broke(line, error_of_ours, now_s, slots)

    def on_more(self, line: LineCall) -> None:
        self._lane.on_more(line)

    def _broke(self, line: LineCall, error: Exception, now_s: float, slots: int) -> None:
        """`slots` were in flight before the call ended in what nobody foresaw."""
        if self.limiter.in_flight == slots:
            self.limiter.on_end(line.sent_s, now_s, Verdict.IGNORED)
        if not self.health.open:
            self.health.on_probe_gone()
        self._lane.broke(line, error, now_s)
