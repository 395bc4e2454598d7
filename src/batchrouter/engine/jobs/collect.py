"""Take a job's results over: each line that has an answer is settled under the job's epoch, the others are left.

Results come as a stream, in any order; what is in memory is one portion of them, because each is settled before the
next is read. A result that is read twice counts once.
"""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import NamedTuple

from batchrouter.domain.body_change import changed
from batchrouter.domain.checked.judge import Judges, fault_of
from batchrouter.domain.cost import UNKNOWN
from batchrouter.domain.fallback import moves_on
from batchrouter.domain.job import JobDuty, JobShard, Result, ResultKind, Seen, key_line
from batchrouter.domain.job_step import JobMemo
from batchrouter.domain.line import decode_line
from batchrouter.domain.outcome import Outcome
from batchrouter.domain.output_line import id_prefix
from batchrouter.domain.retry import Kind, classify
from batchrouter.domain.retry_wish import changes_of
from batchrouter.engine.fault import told
from batchrouter.engine.jobs.content import Spans
from batchrouter.engine.jobs.lane import NativeLane
from batchrouter.engine.jobs.record import Answer, Home, of_answer
from batchrouter.engine.jobs.tools import JobTools
from batchrouter.errors import LineRefused, StaleLease
from batchrouter.input import Input
from batchrouter.providers.base import Encoded

log = logging.getLogger(__name__)

PORTION_LINES, PORTION_BYTES = 512, 1024 * 1024
SPANS_KEPT = 256


class Collected(NamedTuple):
    """`settled`: lines that have their outcome now and had none before. `left`: lines of the job that have none and
    that nobody else has. `wrong`: the results are those of another's job, and nothing was taken."""

    settled: int
    left: int
    wrong: bool = False


class _Found(NamedTuple):
    number: int
    shard: JobShard
    result: Result

    @property
    def place(self) -> int:
        return self.number - self.shard.first_line


class Collector:
    def __init__(self, tools: JobTools, *, held: Callable[[], bool]) -> None:
        self._tools = tools
        self._held = held

    async def collect(self, duty: JobDuty, native: NativeLane, seen: Seen) -> Collected:
        """Settle what the results have. Errors of the provider's API pass through; what was read before them counts.
        A repeat settles nothing twice."""
        job = duty.job
        before = await self._tools.calls.read(self._tools.jobs.job_shards, job.id)
        taking = _Taking(self._tools, duty, native, before)
        results = native.setup.api.results(seen)
        wrong = False
        try:
            async for line in results:
                result = native.setup.lines.read(line)
                number = key_line(job.id, result.key)
                if number is not None:
                    taking.add(number, result, len(line))
                    if taking.full:
                        await self._settle(taking)
                elif result.key is not None and not taking.ours:
                    wrong = JobMemo.of(job).found
                    if wrong:
                        break
            await self._settle(taking)
        finally:
            if isinstance(results, AsyncGenerator):
                await results.aclose()
        after = await self._tools.calls.read(self._tools.jobs.job_shards, job.id)
        return Collected(_done(after) - _done(before), _left(after), wrong)

    async def _settle(self, taking: _Taking) -> None:
        if not self._held():
            raise StaleLease(f"worker {self._tools.worker} no longer holds its lease")
        await taking.settle()


class _Taking:
    """One pass over a job's results. `ours`: a line of the job was among them."""

    def __init__(self, tools: JobTools, duty: JobDuty, native: NativeLane, shards: Sequence[JobShard]) -> None:
        self._tools = tools
        self._duty = duty
        self._native = native
        self._shards = _ByLine(shards)
        self._prefix = id_prefix(duty.job.batch_id)
        self._changes = changes_of(duty.retry)
        self._judges = Judges() if tools.settings.check_outputs else None
        self._found: list[_Found] = []
        self._bytes = 0
        self._spans: OrderedDict[int, Spans] = OrderedDict()
        self.ours = False

    @property
    def full(self) -> bool:
        return len(self._found) >= PORTION_LINES or self._bytes >= PORTION_BYTES

    def add(self, number: int, result: Result, size: int) -> None:
        self.ours = True
        if result.kind is not ResultKind.ANSWERED:
            return
        shard = self._shards.take(number)
        if shard is not None:
            self._found.append(_Found(number, shard, result))
            self._bytes += size

    async def settle(self) -> None:
        """Write the portion down, and wait until it is durable: so no more than this is ever in memory."""
        found, self._found, self._bytes = self._found, [], 0
        if not found:
            return
        duty = self._duty
        source = await self._tools.inputs.get(duty.input_blob_key, duty.input_index_key)
        spans = [await self._spans_of(source, each.shard) for each in found]
        texts = await source.lines([each.at(result.place) for each, result in zip(spans, found, strict=True)])
        now_ms = self._tools.clock.unix_ms()
        for each, span, text in zip(found, spans, texts, strict=True):
            try:
                self._take(each, span.asked(each.place), text, now_ms)
            except Exception as error:  # it stays with what the job leaves, and is run in real time
                log.error("a result of %s could not be taken (%s)", duty.job.id, told(error))
        await self._tools.journal.drain(duty.job.batch_id)

    def _take(self, found: _Found, asked: tuple[str, str], text: bytes, now_ms: int) -> None:
        native, duty, result = self._native, self._duty, found.result
        wire = native.setup.wire
        custom_id, body = decode_line(text)
        if self._changes:
            body = changed(body, self._changes)
        try:
            sent = wire.encode_batch(duty.endpoint, body)
        except LineRefused:  # by a newer configuration; it was sent all the same
            sent = Encoded(b"")
        reply = wire.decode(duty.endpoint, result.status, result.body, sent.note)
        if not reply.usable:
            return
        kind = classify(result.status, reply.code)
        if kind not in (Kind.OK, Kind.LINE_FAULT):
            return
        if moves_on(kind, result.status, reply.code) and native.leads_on(asked):
            return
        outcome = Outcome.SUCCEEDED if kind is Kind.OK else Outcome.FAILED
        shard = found.shard
        home = Home(self._prefix, found.number, shard.range_no, shard.shard_id, shard.epoch, duty.lane.id)
        latency_ms = now_ms - (duty.job.submitted_ms or now_ms)
        judge = None if self._judges is None or kind is not Kind.OK else self._judges.of(duty.endpoint, body)
        fault = None if judge is None else fault_of(judge, duty.endpoint, reply.body)
        answer = Answer(result.status, reply, result.request_id, latency_ms, sent.dropped, fault)
        line, fields = of_answer(home, outcome, custom_id, answer)
        cost_nano = native.cost(reply, outcome is Outcome.SUCCEEDED)
        self._tools.journal.add(duty.job.batch_id, line, fields, 0, reply.model, cost_nano)
        spend = self._tools.spendings.known(duty.job.batch_id)
        if spend is not None:
            spend.spend((native.most(duty.endpoint, body, sent.body) or 0) if cost_nano == UNKNOWN else cost_nano)
        native.guess.learn(len(sent.body), reply.tokens.input)

    async def _spans_of(self, source: Input, shard: JobShard) -> Spans:
        spans = self._spans.get(shard.range_no)
        if spans is None:
            spans = self._spans[shard.range_no] = await Spans.of(source, shard.first_line, shard.lines)
            if len(self._spans) > SPANS_KEPT:
                self._spans.popitem(last=False)
        return spans


class _ByLine:
    """Which shard of a job has a line, and whether that line still needs an outcome."""

    def __init__(self, shards: Sequence[JobShard]) -> None:
        ordered = sorted(shards, key=lambda shard: shard.first_line)
        self._firsts = [shard.first_line for shard in ordered]
        self._shards = ordered
        self._pending = [shard.members & ~shard.done for shard in ordered]

    def take(self, number: int) -> JobShard | None:
        """The shard, once: a line that is told twice counts once. None for a line that needs nothing."""
        at = bisect_right(self._firsts, number) - 1
        while at >= 0:
            shard = self._shards[at]
            place = number - shard.first_line
            if place >= shard.lines:
                return None
            if self._pending[at] >> place & 1:
                self._pending[at] &= ~(1 << place)
                return shard
            at -= 1
        return None


def _done(shards: Sequence[JobShard]) -> int:
    return sum((shard.members & shard.done).bit_count() for shard in shards)


def _left(shards: Sequence[JobShard]) -> int:
    return sum((shard.members & ~shard.done).bit_count() for shard in shards if shard.open)
