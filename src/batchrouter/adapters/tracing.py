"""Spans by OpenTelemetry: one for each batch, one for each shard that a worker had of it, and of lines when asked.

A batch's trace has the batch's own number, which is in its id. So every process finds the same trace without asking
anybody, and who knows a batch finds its trace. Attributes are ids and counts, and names of providers and models.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.propagation import set_span_in_context

from batchrouter.domain import bitmap
from batchrouter.domain.lifecycle import BatchEvent
from batchrouter.domain.outcome import RECORD
from batchrouter.domain.shard import Claim, Duty, LaneKey, SegmentDraft, Settled
from batchrouter.errors import TransportError
from batchrouter.ports.clock import Clock
from batchrouter.ports.transport import Call, Link, Sink

if TYPE_CHECKING:
    from opentelemetry.context import Context

SHARDS_MAX = 10_000
"""Spans of shards that are open at once; further shards have none."""
_SHARD = 2
_NS = 1_000_000


class Ids(RandomIdGenerator):
    """Random, but for the one span of a batch. Give it to the `TracerProvider`."""

    def __init__(self) -> None:
        self.fixed: tuple[int, int] | None = None

    def generate_trace_id(self) -> int:
        return super().generate_trace_id() if self.fixed is None else self.fixed[0]

    def generate_span_id(self) -> int:
        return super().generate_span_id() if self.fixed is None else self.fixed[1]


class _Shard:
    __slots__ = ("batch_id", "done", "epoch", "pending", "span")

    def __init__(self, claim: Claim, span: Span) -> None:
        self.batch_id = claim.batch_id
        self.epoch = claim.epoch
        self.pending = claim.pending.bit_count()
        self.done = 0
        self.span = span


class OpenTelemetryTraces:
    """`ports.traces.Traces`. `ids` is the provider's generator."""

    def __init__(self, provider: TracerProvider, ids: Ids, clock: Clock) -> None:
        self._tracer = provider.get_tracer("batchrouter")
        self._ids = ids
        self._clock = clock
        self._shards: dict[int, _Shard] = {}

    def claimed(self, claims: Sequence[Claim]) -> None:
        now = self._now()
        for claim in claims:
            known = self._shards.pop(claim.shard_id, None)
            if known is not None:
                self._end(known, now)
            if len(self._shards) < SHARDS_MAX:
                attributes: dict[str, str | int] = {
                    "batchrouter.batch": claim.batch_id,
                    "batchrouter.shard": claim.shard_id,
                    "batchrouter.epoch": claim.epoch,
                    "batchrouter.range": claim.range_no,
                    "batchrouter.lane": claim.lane_id,
                    "batchrouter.lines": claim.pending.bit_count(),
                }
                span = self._tracer.start_span(
                    "shard", self.within(claim.batch_id), attributes=attributes, start_time=now
                )
                self._shards[claim.shard_id] = _Shard(claim, span)

    def settled(self, segment: SegmentDraft, settled: Settled) -> None:
        if not self._shards:
            return
        now, whole = self._now(), bitmap.full(len(segment.records) // RECORD.size)
        for at, record in enumerate(RECORD.iter_unpack(segment.records)):
            shard = self._shards.get(record[_SHARD])
            if shard is None or (settled.admitted != whole and not settled.admitted >> at & 1):
                continue
            shard.done += 1
            if shard.done == shard.pending:
                self._end(self._shards.pop(record[_SHARD]), now)

    def dropped(self, batch_id: str) -> None:
        now = self._now()
        for shard_id in [shard_id for shard_id, shard in self._shards.items() if shard.batch_id == batch_id]:
            self._end(self._shards.pop(shard_id), now)

    def ended(self, duty: Duty, event: BatchEvent | None) -> None:
        now = self._now()
        attributes: dict[str, str | int] = {
            "batchrouter.batch": duty.batch_id,
            "batchrouter.endpoint": duty.endpoint,
            "batchrouter.lines": duty.total,
            "batchrouter.done": duty.done,
            "batchrouter.closing": "" if event is None else event.value,
        }
        self._ids.fixed = _numbers(duty.batch_id)
        try:
            started = duty.created_ms * _NS if duty.created_ms else now
            span = self._tracer.start_span("batch", attributes=attributes, start_time=started)
        finally:
            self._ids.fixed = None
        if event is BatchEvent.REJECT:
            span.set_status(Status(StatusCode.ERROR))
        span.end(now)

    def line(self, key: LaneKey, facts: LineFacts) -> Span:
        attributes: dict[str, str | int] = {
            "batchrouter.batch": facts.batch_id,
            "batchrouter.shard": facts.shard_id,
            "batchrouter.line": facts.number,
            "batchrouter.attempt": facts.attempt,
            "batchrouter.provider": key.provider,
            "batchrouter.model": key.model,
        }
        shard = self._shards.get(facts.shard_id)
        parent = self.within(facts.batch_id) if shard is None else set_span_in_context(shard.span)
        return self._tracer.start_span(
            "line", parent, kind=SpanKind.CLIENT, attributes=attributes, start_time=self._now()
        )

    def within(self, batch_id: str) -> Context:
        """The trace of that batch, below its span."""
        trace_id, span_id = _numbers(batch_id)
        return set_span_in_context(
            NonRecordingSpan(SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED)))
        )

    def end_line(self, span: Span, status: int | None, failed: str | None) -> None:
        if status is not None:
            span.set_attribute("http.response.status_code", status)
        if failed is not None:
            span.set_attribute("error.type", failed)
        if failed is not None or (status or 0) >= 400:
            span.set_status(Status(StatusCode.ERROR))
        span.end(self._now())

    def _end(self, shard: _Shard, now: int) -> None:
        shard.span.set_attribute("batchrouter.settled", shard.done)
        shard.span.end(now)

    def _now(self) -> int:
        return self._clock.unix_ms() * _NS


class LineFacts(NamedTuple):
    """Of a line that is sent: its number counts the batch's lines from 0."""

    batch_id: str
    shard_id: int
    number: int
    attempt: int


class TracedLink:
    """`ports.transport.Link` over another: each call is a span, and tells the upstream so (`traceparent`). `facts` are
    asked of the sink."""

    def __init__(
        self, link: Link, traces: OpenTelemetryTraces, key: LaneKey, facts: Callable[[Sink], LineFacts]
    ) -> None:
        self._link = link
        self._traces = traces
        self._key = key
        self._facts = facts

    @property
    def connections(self) -> int:
        return self._link.connections

    @property
    def idle(self) -> int:
        return self._link.idle

    def send(self, head: bytes, body: bytes, sink: Sink) -> Call:
        span = self._traces.line(self._key, self._facts(sink))
        context = span.get_span_context()
        told = f"traceparent: 00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}\r\n"
        first, _, rest = head.partition(b"\r\n")
        traced = _TracedSink(sink, span, self._traces)
        traced.call = self._link.send(b"%b\r\n%b%b" % (first, told.encode(), rest), body, traced)
        return traced

    async def aclose(self) -> None:
        await self._link.aclose()


class _TracedSink:
    """A `Sink`, and the `Call` that whoever sent it may abort."""

    __slots__ = ("_sink", "_span", "_status", "_traces", "call")

    call: Call

    def __init__(self, sink: Sink, span: Span, traces: OpenTelemetryTraces) -> None:
        self._sink = sink
        self._span: Span | None = span
        self._traces = traces
        self._status: int | None = None

    def on_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self._status = status
        self._sink.on_head(status, headers)

    def on_chunk(self, data: bytes) -> None:
        self._sink.on_chunk(data)

    def on_end(self) -> None:
        self._done(None)
        self._sink.on_end()

    def on_error(self, error: TransportError) -> None:
        self._done(type(error).__name__)
        self._sink.on_error(error)

    def abort(self) -> None:
        self._done("aborted")
        self.call.abort()

    def _done(self, failed: str | None) -> None:
        span, self._span = self._span, None
        if span is not None:
            self._traces.end_line(span, self._status, failed)


def _numbers(batch_id: str) -> tuple[int, int]:
    """Of the batch's trace and its first span: 128 bits of its id, and 64 of the id's hash."""
    digits = batch_id.rpartition("_")[2]
    digest = hashlib.blake2b(batch_id.encode(), digest_size=24).digest()
    try:
        trace_id = int(digits, 16) if len(digits) == 32 else 0
    except ValueError:
        trace_id = 0
    return trace_id or int.from_bytes(digest[8:]), int.from_bytes(digest[:8]) or 1
