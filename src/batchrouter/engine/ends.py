"""What becomes of a lane's lines when their calls end: they are finished, sent again later, or go to another lane."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from batchrouter.domain.checked.judge import fault_of
from batchrouter.domain.cost import UNKNOWN, RateCard
from batchrouter.domain.fallback import moves_on
from batchrouter.domain.outcome import Outcome
from batchrouter.domain.retry import NO_TRIES, Again, Kind, PauseLane, RetrySettings, next_step
from batchrouter.domain.shard import Lane
from batchrouter.engine.budget import Budget
from batchrouter.engine.fault import told
from batchrouter.engine.held import Held
from batchrouter.engine.held_back import HeldBack
from batchrouter.engine.journal import Journal
from batchrouter.engine.later import Later
from batchrouter.engine.line_call import LineCall
from batchrouter.engine.line_end import Fields, of_error, of_refusal, of_reply
from batchrouter.engine.loader import Loader
from batchrouter.engine.member import End, MemberAtWork
from batchrouter.engine.moving import Mover
from batchrouter.engine.pool import Pool
from batchrouter.errors import LineRefused, ReplyBroken
from batchrouter.ports.clock import Chance
from batchrouter.providers.base import Reply

log = logging.getLogger(__name__)

_SUCCEEDED = Outcome.SUCCEEDED  # a member of an enum costs a search each time


class LineEnds:
    """One lane's. Told by its members of every call (`engine.member.Ends`)."""

    def __init__(
        self,
        lane: Lane,
        card: RateCard | None,
        retry: RetrySettings,
        *,
        loader: Loader,
        later: Later,
        held_back: HeldBack,
        journal: Journal,
        mover: Mover,
        budget: Budget,
        chance: Chance,
        pump_soon: Callable[[], None],
    ) -> None:
        self.unix_offset_s = 0.0
        self.pool: Pool
        """Made of members who tell this object; set right after."""
        self.lane_id = lane.id
        self._name = f"{lane.key.provider}/{lane.key.model}"
        self._card = card
        self._free = UNKNOWN if card is None else 0
        self._retry = retry
        self._loader = loader
        self._later = later
        self._held_back = held_back
        self._journal = journal
        self._mover = mover
        self._budget = budget
        self._chance = chance
        self._pump_soon = pump_soon

    # --- told by members ------------------------------------------------------------------------------------------

    def answered(self, line: LineCall, reply: Reply, now_s: float) -> None:
        card, held = self._card, line.held
        cost_nano = UNKNOWN if card is None else card.cost_of_answer(reply.tokens, reply.cache_writes)
        judge = None if line.more is None else line.more.judge
        fault = None if judge is None else fault_of(judge, held.batch.endpoint, reply.body)
        text, fields = of_reply(line, _SUCCEEDED, reply, self.lane_id, now_s, fault)
        self._settle(line, text, fields, reply.model, cost_nano)
        if line.more is not None:
            _charge(line, cost_nano)
        if held.unproved:
            self._prove(held)
        self._pump_soon()

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
        held, place, sent_s, health = line.held, line.place, line.sent_s, member.health
        tries = held.tries.get(place, NO_TRIES)
        number = held.shard_id << 16 | place
        if kind is Kind.LINE_FAULT:
            health.on_answer(sent_s, now_s)
        else:
            health.on_failure(kind, number, tries.counted, sent_s, now_s, reason)
        others = self.pool.others_open(member)
        # What the member was told to wait, its lines need not, while others work.
        wait_s = None if others and kind is Kind.BUSY else retry_after_s
        deadline_s, view, chance = held.batch.deadline_s, health.view(number), self._chance.fraction()
        step = next_step(kind, tries, sent_s, now_s, deadline_s, view, self._retry, chance, wait_s, reason)
        if isinstance(step, Again):
            if kind is Kind.BUSY and retry_after_s is not None:
                health.on_wait(now_s + retry_after_s, now_s, reason)
                member.limiter.pause_until(now_s + retry_after_s)
            self.release(line)
            held.tries[place] = step.tries
            self._later.add(step.at_s, held, place)
        elif isinstance(step, PauseLane):
            health.on_lane_down(step.reason, sent_s, now_s, step.until_s, step.certain)
            self.release(line)
            held.tries[place] = step.tries
            if others:
                self._loader.queue.put_back(held, place)
            else:
                self._loader.queue.put_last(held, place)
        else:
            self._end(line, kind, end, now_s)
        self._pump_soon()

    def broke(self, line: LineCall, error: Exception, now_s: float) -> None:
        log.error("the end of a call for %s failed: %s", line.held.batch.id, told(error))
        self.try_again(line, now_s)
        self._pump_soon()

    def on_more(self, line: LineCall) -> None:
        more, line.spare = -line.spare, 0
        line.taken += more
        self._loader.bytes += more
        self._budget.take(more)

    # --- told by the lane -----------------------------------------------------------------------------------------

    def refuse(self, line: LineCall, refusal: LineRefused) -> None:
        """The line will not be sent here: it goes to the next lane of its chain, if its cause may not hold there, or
        ends as if its upstream had refused it."""
        if not self._moves(line, Kind.LINE_FAULT, refusal.status, refusal.code):
            self._settle(line, *of_refusal(line, refusal, self.lane_id), None, self._free)

    def try_again(self, line: LineCall, now_s: float) -> None:
        """After a fault of ours, always counted: so a line that raises each time fails in the end."""
        held, place = line.held, line.place
        tries = held.tries.get(place, NO_TRIES)
        tries = replace(tries, counted=tries.counted + 1)
        if tries.counted >= self._retry.max_attempts:
            error = ReplyBroken("it could not be read")
            self._finish(line, *of_error(line, error, self.lane_id, now_s), None, self._free)
            return
        self.release(line)
        held.tries[place] = tries
        backoff_s = min(self._retry.backoff_s * 2.0**tries.counted, self._retry.backoff_max_s)
        self._later.add(now_s + backoff_s, held, place)

    def release(self, line: LineCall) -> None:
        """The call has ended and the line has not: it gives back its bytes, and what it might have cost."""
        line.held.attempts[line.place] = line.attempts
        self._loader.release(line)
        if line.more is not None:
            _give_back(line)

    # --- inside ---------------------------------------------------------------------------------------------------

    def _end(self, line: LineCall, kind: Kind, end: End, now_s: float) -> None:
        """The line has failed, as far as this lane goes."""
        reply = end if isinstance(end, Reply) else None
        status, code = (None, None) if reply is None else (line.status, reply.code)
        if self._moves(line, kind, status, code):
            return
        if isinstance(end, Reply):
            cost_nano = UNKNOWN if self._card is None else self._card.cost(end.tokens, end.cache_writes)
            self._finish(line, *of_reply(line, Outcome.FAILED, end, self.lane_id, now_s), end.model, cost_nano)
        else:
            self._finish(line, *of_error(line, end, self.lane_id, now_s), None, self._free)
        held, share = line.held, line.held.share
        if held.unproved and share.first.on_failure(status or 0, code, now_s):
            log.warning("%s pauses in lane %s: %s", held.batch.id, self._name, share.first.reason)
            self._held_back.hold(share)

    def _moves(self, line: LineCall, kind: Kind, status: int | None, code: str | None) -> bool:
        """Hand the line over to its next lane, if it has one and its failure says that another may do better."""
        lane = line.held.next_lane(line.place)
        if lane is None or not moves_on(kind, status, code):
            return False
        self.release(line)
        self._mover.move(line.held, line.place, lane)
        return True

    def _prove(self, held: Held) -> None:
        """A line of the shard was answered: its batch is not one whose every line fails here."""
        held.unproved = False
        if held.share.first.on_success():
            log.info("%s goes on in lane %s: a line was answered", held.batch.id, self._name)

    def _finish(self, line: LineCall, text: bytes, fields: Fields, model: str | None, cost_nano: int) -> None:
        """As `_settle`, for a line that was sent."""
        self._settle(line, text, fields, model, cost_nano)
        _charge(line, cost_nano)

    def _settle(self, line: LineCall, text: bytes, fields: Fields, model: str | None, cost_nano: int) -> None:
        """The line is done: its bytes go over to the journal."""
        held, batch = line.held, line.held.batch
        # First: if it raises, the line is still open.
        self._journal.add(batch.id, text, fields, len(text), model, cost_nano)
        if held.tries:
            held.tries.pop(line.place, None)
        batch.open -= 1
        self._budget.keep(line.taken, len(text))
        self._loader.bytes -= line.taken
        if not batch.open:
            self._journal.flush(batch.id)


def _charge(line: LineCall, cost_nano: int) -> None:
    """What the line cost is spent, in the place of what was reserved for it; the most that it can have cost, where the
    answer does not tell."""
    spend, more = line.held.batch.spend, line.more
    if spend is not None:
        _give_back(line)
        spend.spend(more.most_nano if cost_nano == UNKNOWN and more is not None else cost_nano)


def _give_back(line: LineCall) -> None:
    """What was reserved for the call; once, however often it is asked."""
    spend, more = line.held.batch.spend, line.more
    if spend is not None and more is not None and more.reserved:
        more.reserved = False
        spend.give_back(more.most_nano)
