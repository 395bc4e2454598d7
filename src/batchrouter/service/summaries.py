"""What the finished lines of a batch come to, kept while people look and carried on where it stopped."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from batchrouter.domain.batch import Batch
from batchrouter.domain.eta import Eta, eta_of, rate_of
from batchrouter.domain.lifecycle import BATCH_FINAL, BatchState
from batchrouter.domain.outcome import Outcome
from batchrouter.domain.settled_line import CODES, error_code_of, error_message_of
from batchrouter.domain.shard import LaneKey, Sample
from batchrouter.domain.summary import Failure, Group, Point, Summary
from batchrouter.errors import ApiError, BlobMissing, InputError
from batchrouter.line_store import LineStore
from batchrouter.ports.blobs import Blobs
from batchrouter.ports.calls import Calls
from batchrouter.ports.clock import Clock
from batchrouter.ports.results import Results
from batchrouter.service import asked
from batchrouter.service.batches import no_such_batch
from batchrouter.service.caller import Caller
from batchrouter.service.results import Line, LineResults

KEPT = 64
"""Batches whose summaries are kept, some 200 KiB each at most: those that were looked at last."""
SEGMENTS = 64
SCAN_S = 2.0
"""How long one call looks at what is new; the next goes on from there."""
SAMPLES_READ = 10_000
SAMPLES_MAX = 300
MESSAGE_CHARS = 500


@dataclass(frozen=True, slots=True)
class FailureTold:
    """`code` and `message` are those of the first such line; None where it cannot be read any more."""

    failure: Failure
    group: Group
    custom_id: bytes | None
    code: str | None
    message: str | None


@dataclass(frozen=True, slots=True)
class LaneCurve:
    """At most `SAMPLES_MAX` samples, evenly chosen; `throttled` of each counts since the one before."""

    lane: LaneKey
    samples: tuple[Sample, ...]


@dataclass(frozen=True, slots=True)
class Rate:
    """A second: over the last half minute, or over all of a batch that is final."""

    lines: float
    tokens_in: float
    tokens_out: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryView:
    """`complete` false: there are settled lines that were not looked at yet; the next call goes on with them."""

    batch: Batch
    summary: Summary
    complete: bool
    rate: Rate
    eta: Eta | None
    failures: tuple[FailureTold, ...]
    custom_ids: dict[int, bytes]
    lanes: tuple[LaneCurve, ...]


@dataclass(slots=True)
class _Known:
    summary: Summary = field(default_factory=Summary)
    told: dict[Failure, FailureTold] = field(default_factory=dict)
    custom_ids: dict[int, bytes] = field(default_factory=dict)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class Summaries:
    def __init__(self, store: Results, results: LineResults, calls: Calls, blobs: Blobs, clock: Clock) -> None:
        self._store = store
        self._results = results
        self._calls = calls
        self._clock = clock
        self._lines = LineStore(store, calls, blobs)
        self._known: OrderedDict[str, _Known] = OrderedDict()

    async def summary(self, caller: Caller, batch_id: str) -> SummaryView:
        """404 for a batch that is not the caller's. Of one whose files are gone there is nothing to tell."""
        subject = None
        if asked.is_id(batch_id):
            subject = await self._calls.read(self._store.subject, caller.tenant_id, batch_id, self._clock.unix_ms())
        if subject is None:
            raise no_such_batch(batch_id)
        batch, known = subject.batch, self._entry(batch_id)
        readable = subject.output or subject.error
        async with known.turn:  # whoever comes second finds what the first has read
            complete = await self._read(batch_id, known) if readable else True
            if readable:
                await self._look_at_samples(caller, batch_id, known)
            samples = await self._calls.read(self._store.samples, batch_id, SAMPLES_READ)
            keys = await self._calls.read(self._store.lane_keys, sorted({each.lane_id for each in samples}))
        summary = known.summary
        return SummaryView(
            batch=batch,
            summary=summary,
            complete=complete,
            rate=self._rate(batch, summary),
            eta=self._eta(batch, summary),
            failures=tuple(
                known.told.get(failure, FailureTold(failure, group, None, None, None))
                for failure, group in sorted(summary.failures.items(), key=lambda each: -each[1].count)
            ),
            custom_ids=known.custom_ids,
            lanes=tuple(LaneCurve(keys[id], curve(samples, id)) for id in sorted(keys)),
        )

    def _entry(self, batch_id: str) -> _Known:
        known = self._known.get(batch_id)
        if known is None:
            known = self._known[batch_id] = _Known()
            if len(self._known) > KEPT:
                self._known.popitem(last=False)
        self._known.move_to_end(batch_id)
        return known

    async def _read(self, batch_id: str, known: _Known) -> bool:
        began_s = self._clock.mono_s()
        while True:
            views = await self._calls.read(self._store.segments_from, batch_id, known.summary.next_seq, SEGMENTS)
            for view, records in zip(views, await self._lines.records(views), strict=True):
                known.summary.add(view.seq, records, view.admitted, view.at_ms)
            if len(views) < SEGMENTS:
                return True
            if self._clock.mono_s() - began_s >= SCAN_S:
                return False

    async def _look_at_samples(self, caller: Caller, batch_id: str, known: _Known) -> None:
        """One line of each kind is read, once."""
        summary = known.summary
        for failure, group in summary.failures.items():
            if failure in known.told:
                continue
            code, message, custom_id = CODES.get(failure.outcome), None, None
            line = await self._line(caller, batch_id, group.line)
            if line is not None:
                custom_id = line.custom_id
                if line.result is not None:
                    code = error_code_of(line.result) or code
                    message = error_message_of(line.result)
            message = None if message is None else message[:MESSAGE_CHARS]
            known.told[failure] = FailureTold(failure, group, custom_id, code, message)
        groups = [*summary.finishes.values(), *([] if summary.invalid is None else [summary.invalid])]
        for group in groups:
            if group.line not in known.custom_ids:
                line = await self._line(caller, batch_id, group.line)
                if line is not None and line.custom_id is not None:
                    known.custom_ids[group.line] = line.custom_id

    async def _line(self, caller: Caller, batch_id: str, number: int) -> Line | None:
        """None where its file, or the input, is gone or damaged: the counts are true without it."""
        try:
            return await self._results.line(caller, batch_id, number)
        except (ApiError, BlobMissing, InputError):
            return None

    def _rate(self, batch: Batch, summary: Summary) -> Rate:
        points, now_ms = summary.points(), self._clock.unix_ms()
        if not points:
            return Rate(0.0, 0.0, 0.0)
        interval_ms = summary.interval_ms
        final = batch.state in BATCH_FINAL
        end_ms = points[-1][0] + interval_ms if final else now_ms
        window = {"window_ms": end_ms - points[0][0]} if final else {}

        def a_second(counts: Sequence[tuple[int, int]]) -> float:
            return rate_of(counts, interval_ms, end_ms, **window)

        return Rate(
            a_second(counted(points)),
            a_second([(at, point.tokens_in) for at, point in points]),
            a_second([(at, point.tokens_out) for at, point in points]),
        )

    def _eta(self, batch: Batch, summary: Summary) -> Eta | None:
        if batch.state is not BatchState.IN_PROGRESS or batch.paused_ms is not None:
            return None
        left = batch.total - batch.completed - batch.failed
        return eta_of(counted(summary.points()), summary.interval_ms, self._clock.unix_ms(), left)


def counted(points: Sequence[tuple[int, Point]]) -> list[tuple[int, int]]:
    return [(at_ms, point.done) for at_ms, point in points]


def curve(samples: Sequence[Sample], lane_id: int) -> tuple[Sample, ...]:
    """The lane's samples, thinned out; the last is always among them."""
    mine = [each for each in samples if each.lane_id == lane_id]
    every = -(-len(mine) // SAMPLES_MAX) or 1
    chosen = mine[::-1][::every][::-1]
    told, before = [], 0
    for each in chosen:
        # A worker that ended took what it had counted with it.
        since = each.throttled - before if each.throttled >= before else each.throttled
        before = each.throttled
        told.append(
            Sample(
                lane_id=each.lane_id,
                at_ms=each.at_ms,
                in_flight=each.in_flight,
                limit=each.limit,
                throttled=since,
                cost_nano=each.cost_nano,
            )
        )
    return tuple(told)


def outcome_of(failure: Failure) -> str:
    return Outcome(failure.outcome).name.lower()
