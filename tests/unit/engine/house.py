"""A whole engine in one process: memory store, stepping clock, and a function as the upstream.

Nothing runs by itself: `House.run` turns the loops by hand until nothing more happens, and moves the clock when only
time can help. So every run is the same, and a worker can be made to die at any call of the store.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from batchrouter.adapters.blobs import MemoryBlobs
from batchrouter.adapters.memory.clock import FixedChance, StepClock
from batchrouter.adapters.memory.store import MemoryStore
from batchrouter.adapters.wake import LocalWake
from batchrouter.domain.batch import Batch, NewBatch
from batchrouter.domain.file import File
from batchrouter.domain.indexer import Indexer
from batchrouter.domain.lifecycle import BATCH_FINAL
from batchrouter.domain.duplicates import MemorySpill
from batchrouter.domain.pacing import Pacing
from batchrouter.domain.routing import Router, RouteProvider
from batchrouter.domain.shard import LaneKey
from batchrouter.domain.tenant import Tenant
from batchrouter.engine.dispatch import Connection
from batchrouter.engine.settings import EngineSettings
from batchrouter.engine.worker import Worker
from batchrouter.errors import TransportError
from batchrouter.ports.transport import Sink
from batchrouter.providers.openai import OpenAIWire
from batchrouter.service.content import Content

DAY_MS = 86_400_000


class Died(BaseException):
    """The process is gone: nothing after this happens."""


@dataclass
class DyingCalls:
    """`Calls` that dies before or after its n-th call; afterwards every call dies."""

    die_at: int | None = None
    after: bool = False
    count: int = 0
    dead: bool = False

    async def read(self, verb: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        return await self._call(verb, *args, **kwargs)

    async def write(self, verb: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        return await self._call(verb, *args, **kwargs)

    async def _call(self, verb: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        await asyncio.sleep(0)
        self.count += 1
        if self.dead or (self.count == self.die_at and not self.after):
            self.dead = True
            raise Died
        result = verb(*args, **kwargs)
        if self.count == self.die_at:
            self.dead = True
            raise Died
        return result


@dataclass(frozen=True)
class Answer:
    """What the upstream does with a request: after `delay_s`, a reply, or an error."""

    status: int = 200
    body: bytes = b""
    delay_s: float = 0.0
    error: TransportError | None = None
    headers: tuple[tuple[bytes, bytes], ...] = ()
    silent: bool = False


def echo(body: bytes, **more: Any) -> Answer:
    """A chat completion that says back the last message."""
    asked = json.loads(body)
    said = {
        "model": asked["model"],
        "choices": [{"message": {"content": asked["messages"][-1]["content"]}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2},
    }
    return Answer(body=json.dumps(said).encode(), **more)


@dataclass
class FakeLink:
    """A `Link` over a function from request body to answer. `sent` is what an upstream's own log would say."""

    clock: StepClock
    upstream: Callable[[bytes], Answer]
    sent: list[bytes] = field(default_factory=list)
    connections: int = 0
    idle: int = 0
    alive: bool = True

    def send(self, head: bytes, body: bytes, sink: Sink) -> FakeCall:
        self.sent.append(body)
        call = FakeCall()
        answer = self.upstream(body)
        if not answer.silent:
            self.clock.call_at(self.clock.mono_s() + answer.delay_s, lambda: self._end(call, answer, sink))
        return call

    def _end(self, call: FakeCall, answer: Answer, sink: Sink) -> None:
        if call.aborted or not self.alive:
            return
        if answer.error is not None:
            sink.on_error(answer.error)
            return
        sink.on_head(answer.status, list(answer.headers))
        if answer.body:
            sink.on_chunk(answer.body)
        sink.on_end()

    async def aclose(self) -> None:
        self.alive = False


class FakeCall:
    aborted = False

    def abort(self) -> None:
        self.aborted = True


class House:
    """Store and blobs outlive workers, as a disk does; `new_worker` is a start of the process."""

    def __init__(self, upstream: Callable[[bytes], Answer] = echo, **settings: Any) -> None:
        self.clock = StepClock()
        self.chance = FixedChance()
        self.store = MemoryStore()
        self.blobs = MemoryBlobs(self.clock)
        self.wake = LocalWake()
        self.upstream = upstream
        self.settings = replace(EngineSettings(), **settings)
        self.pacing = Pacing()
        self.sent: list[bytes] = []
        self.router = Router([RouteProvider("sim", "openai")], {}, "sim")
        self.store.catalog.add_tenant(Tenant(id="default", name="default", weight=1, created_ms=0))
        self.calls = DyingCalls()
        self.worker: Worker | None = None
        self._batches = 0

    async def new_worker(self, calls: DyingCalls | None = None) -> Worker:
        self.calls = calls or DyingCalls()
        self.worker = Worker(
            ledger=self.store.ledger,
            calls=self.calls,
            blobs=self.blobs,
            wake=self.wake,
            clock=self.clock,
            chance=self.chance,
            settings=self.settings,
            router=self.router,
            connect=self._connect,
        )
        await self.worker.enlist()
        return self.worker

    def _connect(self, key: LaneKey) -> Connection:
        wire = OpenAIWire("http://upstream.invalid/v1", key.model)
        link = FakeLink(self.clock, self.upstream, self.sent)
        return Connection(wire, link, self.pacing)

    # --- input ----------------------------------------------------------------------------------------------------

    async def upload(self, data: bytes, *, tenant: str = "default") -> File:
        """A file row with blob and index, as the service makes them."""
        number = len(self.sent) + self._batches + 1000
        key = f"files/{number}-{tenant}"
        indexer = Indexer(MemorySpill())
        index = indexer.feed(data) + indexer.finish()
        await self.blobs.put(key, [data])
        await self.blobs.put(f"{key}.idx", [index])
        return self.store.catalog.add_file(
            File(
                id=f"file-{number}-{tenant}",
                tenant_id=tenant,
                purpose="batch",
                filename="in.jsonl",
                bytes=len(data),
                lines=indexer.totals.lines,
                created_ms=self.clock.unix_ms(),
                blob_key=key,
                index_key=f"{key}.idx",
            )
        )

    async def create(
        self, lines: list[dict[str, Any]] | bytes, *, tenant: str = "default", window_ms: int = DAY_MS
    ) -> str:
        """Upload and create; returns the batch's id."""
        data = lines if isinstance(lines, bytes) else b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        self._batches += 1
        file = await self.upload(data, tenant=tenant)
        now_ms = self.clock.unix_ms()
        batch_id = f"batch_{self._batches:032x}"
        self.store.catalog.create_batch(
            NewBatch(
                id=batch_id,
                tenant_id=tenant,
                endpoint="/v1/chat/completions",
                completion_window="24h",
                input_file_id=file.id,
                created_ms=now_ms,
                expires_ms=now_ms + window_ms,
                api_key_id="key",
                body_hash=str(self._batches),
            ),
            now_ms=now_ms,
        )
        return batch_id

    def batch(self, batch_id: str, tenant: str = "default") -> Batch:
        batch = self.store.catalog.batch(tenant, batch_id)
        assert batch is not None
        return batch

    # --- turning --------------------------------------------------------------------------------------------------

    async def settle(self) -> None:
        """Let everything that needs no time happen."""
        for _ in range(60):
            await asyncio.sleep(0)

    async def turn(self) -> int:
        """One round of every loop; returns what was done."""
        assert self.worker is not None
        done = await self.worker.duties_once()
        done += await self.worker.claims_once()
        await self.worker.tick()
        await self.settle()
        done += await self.worker.folder.run_once()
        return done

    async def run(self, *batch_ids: str, limit: int = 2000, step_s: float = 0.05) -> None:
        """Turn until the batches are final (all of them; none given: for `limit` turns)."""
        for _ in range(limit):
            await self.turn()
            if batch_ids and all(self.batch(batch_id).state in BATCH_FINAL for batch_id in batch_ids):
                await self.fold_all()
                return
            self.clock.advance(step_s)
            await self.settle()
            self._renew()
        if batch_ids:
            raise AssertionError(f"not final: {[self.batch(batch_id) for batch_id in batch_ids]}")

    def _renew(self) -> None:
        assert self.worker is not None
        if not self.calls.dead:
            self.worker._lease.renew()

    async def fold_all(self) -> None:
        assert self.worker is not None
        while await self.worker.folder.run_once():
            pass

    # --- output ---------------------------------------------------------------------------------------------------

    async def text(self, file_id: str | None, tenant: str = "default") -> bytes:
        if file_id is None:
            return b""
        file = self.store.catalog.file(tenant, file_id, self.clock.unix_ms())
        assert file is not None
        content = Content(file, self.store.catalog, DyingCalls(), self.blobs)
        return b"".join([piece async for piece in content.stream(0, file.bytes)])

    async def output(self, batch_id: str, tenant: str = "default") -> list[dict[str, Any]]:
        return _lines(await self.text(self.batch(batch_id, tenant).output_file_id, tenant))

    async def errors(self, batch_id: str, tenant: str = "default") -> list[dict[str, Any]]:
        return _lines(await self.text(self.batch(batch_id, tenant).error_file_id, tenant))


def _lines(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in data.splitlines()]


def chat(n: int, *, model: str = "m", start: int = 0, **more: Any) -> list[dict[str, Any]]:
    """`n` chat lines, each with an id and a question of its own."""
    return [
        {
            "custom_id": f"line-{i}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": model, "messages": [{"role": "user", "content": f"question {i}"}], **more},
        }
        for i in range(start, start + n)
    ]


def repeats(sent: list[bytes]) -> int:
    """Requests that were sent more than once, counted without the first time."""
    return sum(count - 1 for count in Counter(sent).values())
