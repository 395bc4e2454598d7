"""Spans of batches, shards and lines, as OpenTelemetry's own exporter gets them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from batchrouter.adapters.tracing import Ids, OpenTelemetryTraces, TracedLink
from batchrouter.bootstrap.tracing import facts_of, open_tracing
from batchrouter.config import Config, ServerConfig
from batchrouter.domain.lifecycle import BatchState
from batchrouter.domain.shard import LaneKey
from tests.unit.engine import house as houses
from tests.unit.engine.house import Answer, House, chat, echo, question, refuse

MARK = "mark-of-7-secrets"


class Seen:
    """A house whose worker is followed."""

    def __init__(self, house: House) -> None:
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

        self.house = house
        self.exporter = InMemorySpanExporter()
        ids = Ids()
        provider = TracerProvider(id_generator=ids, shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.traces = OpenTelemetryTraces(provider, ids, house.clock)

    async def start(self) -> None:
        await self.house.new_worker()
        self.house.living.traffic.meters.traces = self.traces

    def spans(self, name: str) -> Sequence[Any]:
        return [span for span in self.exporter.get_finished_spans() if span.name == name]


async def test_a_batch_is_a_span_from_its_creation_to_its_end_with_its_shards_below() -> None:
    """In the trace whose number is the batch's; each shard ends when its last line is settled."""
    seen = Seen(House(lambda body: echo(body, delay_s=0.5)))
    await seen.start()
    house = seen.house
    made_ms = house.clock.unix_ms()
    batch_id = await house.create(chat(1200))
    await house.run(batch_id)
    (root,) = seen.spans("batch")
    assert f"{root.context.trace_id:032x}" == batch_id.removeprefix("batch_")
    assert root.start_time == made_ms * 1_000_000
    assert made_ms * 1_000_000 < root.end_time <= house.clock.unix_ms() * 1_000_000
    assert root.attributes["batchrouter.lines"] == root.attributes["batchrouter.done"] == 1200
    shards = seen.spans("shard")
    assert len(shards) == 3
    assert sum(shard.attributes["batchrouter.settled"] for shard in shards) == 1200
    for shard in shards:
        assert shard.context.trace_id == root.context.trace_id
        assert shard.parent.span_id == root.context.span_id
        assert shard.start_time < shard.end_time <= root.end_time
    assert seen.traces._shards == {}


async def test_shards_of_a_batch_that_is_cancelled_end_with_what_they_had() -> None:
    seen = Seen(House(lambda body: Answer(silent=True) if question(body).endswith("7") else echo(body)))
    await seen.start()
    batch_id = await seen.house.create(chat(40))
    await seen.house.run_for(3)
    seen.house.cancel(batch_id)
    await seen.house.run(batch_id)
    (shard,) = seen.spans("shard")
    assert shard.attributes["batchrouter.settled"] == 36
    (root,) = seen.spans("batch")
    assert root.attributes["batchrouter.closing"] == "cancel"
    assert seen.traces._shards == {}


async def test_a_file_with_errors_is_a_batch_that_failed() -> None:
    seen = Seen(House())
    await seen.start()
    batch_id = await seen.house.create(b'{"no": "line"}\n')
    await seen.house.run(batch_id)
    assert seen.house.batch(batch_id).state is BatchState.FAILED
    (root,) = seen.spans("batch")
    assert root.status.status_code.name == "ERROR"
    assert seen.spans("shard") == []


async def test_each_call_of_a_line_is_a_span_that_its_upstream_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only when lines are traced; below the shard; with ids, status and attempt, and no word of it."""
    heads: list[bytes] = []

    class Link(houses.FakeLink):
        def send(self, head: bytes, body: bytes, sink: Any) -> Any:
            heads.append(head)
            return super().send(head, body, sink)

    tries: dict[str, int] = {}

    def upstream(body: bytes) -> Answer:
        turn = tries[question(body)] = tries.get(question(body), 0) + 1
        return refuse(500, MARK) if turn == 1 and question(body) == "question 2" else echo(body)

    seen = Seen(House(upstream))
    key = LaneKey("sim", "m")
    monkeypatch.setattr(houses, "FakeLink", lambda *words: TracedLink(Link(*words), seen.traces, key, facts_of))
    await seen.start()
    batch_id = await seen.house.create(chat(4, user=MARK))
    await seen.house.run(batch_id)
    lines = seen.spans("line")
    (shard,) = seen.spans("shard")
    assert len(lines) == len(heads) == 5
    assert sorted(line.attributes["batchrouter.line"] for line in lines) == [0, 1, 2, 2, 3]
    assert {line.parent.span_id for line in lines} == {shard.context.span_id}
    told = [head.split(b"traceparent: ")[1].split(b"\r\n")[0].decode() for head in heads]
    assert sorted(told) == sorted(
        f"00-{batch_id.removeprefix('batch_')}-{line.context.span_id:016x}-01" for line in lines
    )
    (failed,) = [line for line in lines if line.status.status_code.name == "ERROR"]
    assert failed.attributes["http.response.status_code"] == 500
    assert MARK not in "".join(span.to_json() for span in seen.exporter.get_finished_spans())


async def test_a_call_that_is_given_up_ends_its_span(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = Seen(House(lambda body: Answer(silent=True)))
    key, link = LaneKey("sim", "m"), houses.FakeLink
    monkeypatch.setattr(houses, "FakeLink", lambda *words: TracedLink(link(*words), seen.traces, key, facts_of))
    await seen.start()
    batch_id = await seen.house.create(chat(3))
    await seen.house.run_until(lambda: len(seen.house.flying) == 3)
    seen.house.cancel(batch_id)
    await seen.house.run(batch_id)
    assert [line.attributes["error.type"] for line in seen.spans("line")] == ["aborted"] * 3


def test_nobody_who_does_not_ask_has_any() -> None:
    assert open_tracing(Config(), {}, houses.StepClock()) is None


async def test_a_collector_that_is_away_holds_up_no_stop() -> None:
    """Lines are traced only when that is said too."""
    config = Config(server=ServerConfig(traces="http://127.0.0.1:9/"))
    tracing = open_tracing(config, {}, houses.StepClock())
    assert tracing is not None
    link = object()
    assert tracing.link(link, LaneKey("p", "m")) is link  # type: ignore[arg-type, comparison-overlap]
    await tracing.aclose()
