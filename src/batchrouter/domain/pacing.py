"""How many calls a lane may have in flight, learnt from how its calls end.

Nobody tells a batch how much an upstream can take, and it changes by the hour. The limiter finds out:

    slow start   double the limit each round, while doubling brings more throughput
    climb        then add a step per round, and keep it only where throughput grew with it; step back where it did not
    decrease     when the upstream drops a call, at most once per burst of drops
    probe        when burst follows burst without an answer: few calls at a time, until one is answered (`outage`)
    wait         send nothing before the time that Retry-After or an exhausted limit names
    spend        where the upstream publishes limits, send what they leave (`published_limits`)

A round is one limit's worth of answers to calls *sent after the round began* (half of it in slow start), so that what
is measured belongs to the limit in force. Throughput is not counted but derived: in flight / mean latency (Little's
law), which holds where answers come in bursts, as they do from an upstream with even latencies. Only a round that
filled the limit proves anything: a lane short of lines never grows.

A drop counts only if its call was sent after the last decrease; the others are the rest of the same burst. (Bare AIMD
per sample takes 200 to 20 on one burst of 30 drops, and doubles per round trip on the way up.)
"""

from __future__ import annotations

from dataclasses import dataclass

from batchrouter.domain.gates import Gates
from batchrouter.domain.rate_headers import NO_SIGNALS, Signals
from batchrouter.domain.tokens import Tokens
from batchrouter.domain.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Pacing:
    """A provider's settings; every one is optional. `fixed_in_flight` switches learning off, waiting stays. The last
    three are the upstream's, and all workers together keep them."""

    max_in_flight: int = 1024
    start_in_flight: int = 32
    fixed_in_flight: int | None = None
    rpm: int | None = None
    tpm: int | None = None
    total_in_flight: int | None = None


GROWTH_MIN, GROWTH_FULL = 0.2, 0.6
"""Of the throughput that a doubling could bring: less than a fifth, and the upstream's capacity has been passed; more
than three fifths, and it still works on every call at once."""
FAR, NEAR = 8, 32
"""A step is this part of the limit. An eighth stands out of the noise of a round's mean latency. Near the limit that
last made the upstream drop calls the drops themselves tell, and a small step keeps them few."""
NEAR_FROM, NEAR_TO = 0.85, 1.15
DROP_FACTOR = 0.85
"""After a drop of a limit that had worked for a round. A drop right after a drop, or in slow start, halves."""
REST_ROUNDS_MAX = 16
"""Rounds between two trials of a step when trials keep failing."""
RESET_WAIT_MAX_S = 60.0
"""Longest wait for a mere header that says nothing is left. Some resets tell when the whole day's bucket is full
again (Groq), long after one call fits; sending too early costs one 429, whose Retry-After is then obeyed in full."""


class Limiter:
    """The pace of one lane. Every call that `on_sent` reports must be reported once to `on_end`.

    Times are seconds of one monotonic clock and never go back.
    """

    __slots__ = (
        "_answers",
        "_before",
        "_cold",
        "_drop_limit",
        "_ends",
        "_last_decrease_s",
        "_latencies_s",
        "_part",
        "_peak",
        "_proved",
        "_ref_limit",
        "_ref_rate",
        "_rest",
        "_rest_rounds",
        "_round_s",
        "_slow_start",
        "_stalled",
        "_streak",
        "_trial",
        "_unit_rate",
        "_until_limit",
        "_whole",
        "cap",
        "gates",
        "held",
        "in_flight",
        "limit",
        "not_before_s",
        "settings",
    )

    def __init__(self, settings: Pacing, learnt: int | None = None) -> None:
        """`learnt` is an earlier run's `limit`; the lane starts at half of it."""
        self.settings = settings
        self.in_flight = 0
        self.not_before_s = 0.0
        start = settings.start_in_flight if learnt is None else learnt // 2
        if settings.fixed_in_flight is not None:
            start = settings.fixed_in_flight
        self.limit = self._bounded(start)
        self.gates = Gates(settings.rpm, settings.tpm)
        self.cap = settings.total_in_flight  # this worker's part of it
        self.held = False  # whether a call has had to wait for that
        # the round
        self._round_s = float("-inf")
        self._answers = 0
        self._latencies_s = 0.0
        self._peak = 0
        self._ends = 0
        self._cold = True
        # slow start: the last round's throughput, that per call of the last round that grew fully, and the limit below
        # which doubling needs no proof, because it had worked before the drops
        self._slow_start = True
        self._stalled = False
        self._whole = False
        self._unit_rate = 0.0
        self._until_limit = 0
        # climbing: the limit and throughput that a trial is held against
        self._trial = False
        self._ref_limit = 0
        self._ref_rate = 0.0
        self._rest = 0
        self._rest_rounds = 0
        # drops
        self._last_decrease_s = float("-inf")
        self._proved = False
        self._drop_limit: int | None = None
        self._part = 0.0
        self._streak = 0
        self._before: tuple[int, int | None, bool] = (self.limit, None, True)
        self._plan_round()

    # --- what the engine asks ---------------------------------------------------------------------------------------

    def room(self, now_s: float) -> int:
        """How many more calls may be sent now; 0 before `not_before_s` and while a bucket is empty."""
        if now_s < self.not_before_s:
            return 0
        room = (self.limit if self.cap is None else min(self.limit, self.cap)) - self.in_flight
        return self.gates.room(now_s, room) if room > 0 else 0

    def next_at(self, now_s: float) -> float | None:
        """When `room` may grow without a call ending; None when only an end of a call can do that."""
        at_s = self.not_before_s
        if self.in_flight < self.limit:
            if self.cap is not None and self.in_flight >= self.cap:
                self.held = True
            else:
                at_s = max(at_s, self.gates.ready_at(now_s))
        return at_s if at_s > now_s else None

    @property
    def in_outage(self) -> bool:
        """Whether refusal has followed refusal, with no answer since."""
        return self.gates.in_outage

    def on_sent(self, now_s: float, tokens_estimate: int = 0) -> int:
        """A call goes out now; returns its number, for `on_end`."""
        in_flight = self.in_flight + 1
        self.in_flight = in_flight
        if in_flight > self._peak:
            self._peak = in_flight
        gates = self.gates
        together = gates.on_sent(now_s, tokens_estimate)
        if together and together > max(2, self._until_limit // 2):
            self._answers_again(whole=True)
        return gates.sent

    def on_end(
        self,
        sent_at_s: float,
        now_s: float,
        verdict: Verdict,
        signals: Signals | None = None,
        number: int = 0,
        tokens: Tokens | None = None,
        tokens_estimate: int = 0,
    ) -> None:
        """Call `number`, sent at `sent_at_s`, has ended. By `tokens`, where an answer told them, the estimate that was
        given to `on_sent` is corrected."""
        self.in_flight -= 1
        limits = self.gates.limits
        if verdict == 0:
            if limits:
                self.gates.on_answer(sent_at_s, tokens)
            if self._streak and sent_at_s > self._last_decrease_s:
                self._answers_again()
            if sent_at_s >= self._round_s:
                self._latencies_s += now_s - sent_at_s
                self._answers += 1
                if self._answers >= self._ends:
                    self._end_round(now_s)
        elif verdict == Verdict.DROPPED:
            self._on_drop(sent_at_s, now_s)
        if signals is not None and signals is not NO_SIGNALS:
            self._obey(signals, number, sent_at_s, now_s, verdict)
        if limits and tokens is not None:
            used = tokens.input + tokens.output
            if used:  # else the answer told none
                self.gates.correct(used - tokens_estimate)

    def pause_until(self, at_s: float) -> None:
        """Send nothing before `at_s`; an earlier time than the one already held changes nothing."""
        if at_s > self.not_before_s:
            self.not_before_s = at_s
            self._begin_round(at_s, cold=True)

    # --- rounds -----------------------------------------------------------------------------------------------------

    def _begin_round(self, now_s: float, cold: bool = False) -> None:
        """Cold: from no call in flight. The first answers are then the quickest ones, and flatter the upstream."""
        self._round_s, self._cold = now_s, cold
        self._answers, self._latencies_s = 0, 0.0
        self._peak = self.in_flight
        self._plan_round()

    def _plan_round(self) -> None:
        """Half a limit's worth in slow start: the doubling alone lets half of the slots answer within one latency."""
        self._ends = max(1, self.limit // 2 if self._slow_start and not self._whole else self.limit)

    def _end_round(self, now_s: float) -> None:
        latency_s = max(self._latencies_s / self._answers, 1e-6)
        # A sixteenth of slack: a slot may be on its way through the engine whenever one looks.
        filled = self._peak >= self.limit - self.limit // 16
        self._proved = self._proved or filled
        if self.settings.fixed_in_flight is None:
            if not filled:
                self._forget_references()
            elif self._cold:
                self._warm_up()
            elif self._slow_start:
                self._double(self.limit / latency_s)
            else:
                self._climb(self.limit / latency_s)
        self._begin_round(now_s)

    def _forget_references(self) -> None:
        """After a round that did not fill the limit, an older throughput is no longer comparable."""
        if self._trial:
            self.limit = self._ref_limit
            self._trial = False
        self._ref_limit = 0
        self._ref_rate = 0.0
        self._rest = 0
        self._rest_rounds = 0
        self._stalled = False
        self._whole = False

    def _warm_up(self) -> None:
        """After a cold round: it proves that the limit works, not that more would."""
        if self._slow_start and not self._ref_limit:
            self._set_limit(min(self.limit * 2, self._until_limit or self.settings.max_in_flight))

    def _double(self, rate: float) -> None:
        if self._until_limit:
            if self.limit >= self._until_limit:
                self._leave_slow_start(self.limit)
            else:
                self._set_limit(min(self.limit * 2, self._until_limit))
            return
        added = self.limit / self._ref_limit - 1 if self._ref_limit else 0.0
        if self._ref_limit and rate < self._ref_rate * (1 + added * GROWTH_MIN):
            self._whole = False
            if not self._stalled:  # once may be chance: one more round at the same limit decides
                self._stalled = True
                return
            # Little's law: the limit that carries this throughput at the latency of an upstream that does not queue.
            self._leave_slow_start(max(self._ref_limit // 2, int(rate / self._unit_rate)))
            return
        self._stalled = False
        if self.limit >= self.settings.max_in_flight:
            # The quicker half of the answers may flatter the last doubling, and nothing would test it again up here.
            if self._whole or not self._ref_limit:
                self._leave_slow_start(self.limit)
            else:
                self._whole = True
            return
        if not self._ref_limit or rate > self._ref_rate * (1 + added * GROWTH_FULL):
            self._unit_rate = rate / self.limit
        self._ref_limit, self._ref_rate = self.limit, rate
        self._set_limit(self.limit * 2)

    def _leave_slow_start(self, limit: int) -> None:
        self._slow_start = False
        self._until_limit = 0
        self._forget_references()
        self._set_limit(min(limit, self.limit))

    def _climb(self, rate: float) -> None:
        near = self._drop_limit is not None and self.limit <= self._drop_limit * NEAR_TO
        if near:
            self._trial = False
            self._part += self._step()
            whole = int(self._part)
            self._part -= whole
            self._set_limit(self.limit + whole)
            return
        if not self._trial:
            same = self._ref_limit == self.limit
            self._ref_limit, self._ref_rate = self.limit, (self._ref_rate + rate) / 2 if same else rate
            if self._rest > 0:
                self._rest -= 1
            else:
                self._try_step()
            return
        added = (self.limit - self._ref_limit) / self._ref_limit
        if rate >= self._ref_rate * (1 + added / 2):
            self._ref_limit, self._ref_rate = self.limit, rate
            self._rest_rounds = 0
            self._try_step()
            return
        # Half a step below where it began: without that pull, the steps that pass by chance would add up for ever.
        self._trial = False
        self._rest_rounds = min(max(1, self._rest_rounds * 2), REST_ROUNDS_MAX)
        self._rest = self._rest_rounds
        self._set_limit(self._ref_limit - max(1, self._ref_limit // (2 * FAR)))

    def _try_step(self) -> None:
        self._set_limit(self.limit + max(1, int(self._step())))
        self._trial = self.limit > self._ref_limit

    def _step(self) -> float:
        drop = self._drop_limit
        near = drop is not None and drop * NEAR_FROM <= self.limit <= drop * NEAR_TO
        return self.limit / NEAR if near else max(1.0, self.limit / FAR)

    # --- drops and waits --------------------------------------------------------------------------------------------

    def _on_drop(self, sent_at_s: float, now_s: float) -> None:
        if sent_at_s <= self._last_decrease_s:
            return
        self._last_decrease_s = now_s
        self._streak += 1
        if self._streak == 1:
            self._before = self.limit, self._drop_limit, self._slow_start
        else:
            probe = self.gates.in_outage
            self.pause_until(self.gates.on_outage(sent_at_s, now_s))
            if probe:  # that a probe was refused says nothing of any limit
                return
        if self.settings.fixed_in_flight is not None:
            return
        reached = min(self.limit, self.in_flight + 1)
        if self._proved:  # this is the upstream's capacity, worth remembering on the way up again
            self._drop_limit = reached
            lowered = reached // 2 if self._slow_start else int(reached * DROP_FACTOR)
            self._slow_start = False
            self._until_limit = 0
        else:
            # Nothing has worked since the last decrease: far above capacity, or an outage. The way back doubles up to
            # what was in force before.
            lowered = reached // 2
            if not self._slow_start:
                self._slow_start = True
                self._until_limit = self.limit
        if self.gates.in_outage:  # what was refused at first says nothing of the capacity either
            limit, self._drop_limit, slow_start = self._before
            if not slow_start:
                self._slow_start, self._until_limit = True, limit
        self._proved = False
        self._trial = False
        self._forget_references()
        self._set_limit(lowered)
        self._begin_round(max(now_s, self.not_before_s), cold=self.not_before_s > now_s)

    def _answers_again(self, *, whole: bool = False) -> None:
        """The first answer after drops. An outage is followed by half of what worked before it; by the whole (`whole`)
        where as many calls as that half went out without a refusal."""
        self._streak = 0
        if self.gates.end_outage() and self.settings.fixed_in_flight is None:
            self._set_limit(max(self.limit, self._until_limit if whole else self._until_limit // 2))

    def _obey(self, signals: Signals, number: int, sent_at_s: float, now_s: float, verdict: Verdict) -> None:
        if signals.budgets:
            self.gates.on_told(signals.budgets, number, sent_at_s)
        if verdict == Verdict.DROPPED and signals.retry_after_s is not None:
            self.pause_until(now_s + signals.retry_after_s)
            self.gates.on_refusal(now_s)
        elif signals.exhausted_s is not None and not signals.budgets:
            self.pause_until(now_s + min(signals.exhausted_s, RESET_WAIT_MAX_S))

    def _set_limit(self, limit: int) -> None:
        self.limit = self._bounded(limit)

    def _bounded(self, limit: int) -> int:
        fixed = self.settings.fixed_in_flight
        return max(1, min(limit, self.settings.max_in_flight) if fixed is None else fixed)
