"""A whole engine in one process: memory store, stepping clock, and a function as the upstream.

Nothing runs by itself: `House.run` turns the loops by hand until nothing more happens, and moves the clock to the next
moment at which something can. So every run is the same, and a process can be made to die at any call of the store or
of the blobs, or either of them to fail for a while.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

import pytest

from batchrouter.adapters.blobs import MemoryBlobs
from batchrouter.adapters.memory.clock import FixedChance, StepClock
from batchrouter.adapters.memory.spill import MemorySpill, MemorySpillPlace
from batchrouter.adapters.memory.store import MemoryStore
from batchrouter.adapters.wake import LocalWake
from batchrouter.domain.batch import Batch, LaneShare, NewBatch
from batchrouter.domain.cost import RateCard
from batchrouter.domain.duplicates import MemorySpill as SpilledIds
from batchrouter.domain.file import File
from batchrouter.domain.indexer import Indexer
from batchrouter.domain.job import Job
from batchrouter.domain.lane_choice import LaneOptions
from batchrouter.domain.lifecycle import BATCH_FINAL, JobState
from batchrouter.domain.pacing import Pacing
from batchrouter.domain.planning import Planner
from batchrouter.domain.priority import Priority
from batchrouter.domain.routing import Resolved, RouteProvider, Router
from batchrouter.domain.shard import LaneKey, SegmentDraft
from batchrouter.domain.tenant import Tenant
from batchrouter.engine.settings import EngineSettings
from batchrouter.engine.setup import LaneSetup, Member, NativeSetup, Upstreams
from batchrouter.engine.worker import Worker
from batchrouter.errors import BatchRouterError, ConfigError, TransportError
from batchrouter.ports.blobs import BlobWriter
from batchrouter.ports.spill import Kept
from batchrouter.ports.transport import Sink
from batchrouter.providers.base import Wire
from batchrouter.providers.openai import OpenAIWire
from batchrouter.service.content import Content

T = TypeVar("T")

DAY_MS = 86_400_000
POLL_S = 1.0
ROUNDS_MAX = 5000


class Died(BaseException):
    """The process is gone: nothing after this happens."""


@dataclass
class Process:
    """One life of the program. It ends before or after its `die_at`-th call of the store or write of a blob.

    `fault` may make any of them fail instead: it is given the verb's name, and whether the verb has been carried out.
    """

    die_at: int | None = None
    after: bool = False
    fault: Callable[[str, bool], BatchRouterError | None] | None = None
    count: int = 0
    dead: bool = False
    tally: Counter[str] = field(default_factory=Counter)

    def before(self, verb: str) -> None:
        self.count += 1
        self.tally[verb] += 1
        if self.dead or (self.count == self.die_at and not self.after):
            self.dead = True
            raise Died
        self._fail(verb, False)

    def behind(self, verb: str, number: int) -> None:
        if number == self.die_at:
            self.dead = True
        if self.dead:
            raise Died
        self._fail(verb, True)

    def _fail(self, verb: str, done: bool) -> None:
        error = self.fault(verb, done) if self.fault is not None else None
        if error is not None:
            raise error


class DyingCalls:
    """`Calls` of one process."""

    def __init__(self, process: Process | None = None) -> None:
        self.process = process or Process()

    async def read(self, verb: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        return await self._call(verb, *args, **kwargs)

    async def write(self, verb: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        return await self._call(verb, *args, **kwargs)

    async def _call(self, verb: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        await asyncio.sleep(0)
        name: str = verb.__name__
        self.process.before(name)
        number = self.process.count
        result = verb(*args, **kwargs)
        self.process.behind(name, number)
        return result


class DyingBlobs:
    """`Blobs` of one process, over blobs that outlive it. Reads can fail (`read`), and only writes are counted."""

    def __init__(self, blobs: MemoryBlobs, process: Process) -> None:
        self._blobs = blobs
        self._process = process

    async def create(self, key: str) -> BlobWriter:
        return _DyingWriter(await self._blobs.create(key), self._process)

    async def put(self, key: str, parts: Sequence[bytes]) -> None:
        await asyncio.sleep(0)
        self._process.before("put")
        number = self._process.count
        await self._blobs.put(key, parts)
        self._process.behind("put", number)

    async def read(self, key: str, offset: int, length: int) -> bytes:
        await self._looks(key)
        return await self._blobs.read(key, offset, length)

    async def read_many(self, key: str, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        await self._looks(key)
        return await self._blobs.read_many(key, spans)

    def stream(self, key: str, offset: int, length: int) -> AsyncIterator[bytes]:
        return self._blobs.stream(key, offset, length)

    async def size(self, key: str) -> int:
        return await self._blobs.size(key)

    async def delete(self, keys: Sequence[str]) -> None:
        self._process.before("delete")
        number = self._process.count
        await self._blobs.delete(keys)
        self._process.behind("delete", number)

    async def aged(self, older_than_ms: int) -> list[str]:
        return await self._blobs.aged(older_than_ms)

    async def _looks(self, key: str) -> None:
        await asyncio.sleep(0)
        if self._process.dead:
            raise Died
        error = self._process.fault(f"read {key}", False) if self._process.fault is not None else None
        if error is not None:
            raise error


class DyingSpill:
    """`Spill` of one process, over a place that outlives it."""

    def __init__(self, spill: MemorySpill, process: Process) -> None:
        self._process = process
        self._spill = spill

    async def keep(self, worker: str, draft: SegmentDraft, parts: Sequence[bytes]) -> str:
        await asyncio.sleep(0)
        self._process.before("spill")
        return await self._spill.keep(worker, draft, parts)

    async def load(self, name: str) -> Kept:
        await asyncio.sleep(0)
        return await self._spill.load(name)

    async def drop(self, name: str) -> None:
        await self._spill.drop(name)

    async def left_behind(self) -> list[str]:
        return await self._spill.left_behind()


class _DyingWriter:
    def __init__(self, writer: BlobWriter, process: Process) -> None:
        self._writer = writer
        self._process = process

    async def write(self, data: bytes) -> None:
        self._process.before("blob.write")
        number = self._process.count
        await self._writer.write(data)
        self._process.behind("blob.write", number)

    async def commit(self) -> None:
        await asyncio.sleep(0)
        self._process.before("blob.commit")
        number = self._process.count
        await self._writer.commit()
        self._process.behind("blob.commit", number)

    async def abort(self) -> None:
        await self._writer.abort()


# --- the upstream -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """What the upstream does with a request: after `delay_s`, a reply, or an error; or nothing at all."""

    status: int = 200
    body: bytes = b""
    delay_s: float = 0.0
    error: TransportError | None = None
    headers: tuple[tuple[bytes, bytes], ...] = ()
    silent: bool = False


Upstream = Callable[[bytes], Answer]


def question(body: bytes) -> str:
    """The last message of a chat request."""
    said: str = json.loads(body)["messages"][-1]["content"]
    return said


def model_of(body: bytes) -> str:
    model: str = json.loads(body)["model"]
    return model


def echo(body: bytes, **more: Any) -> Answer:
    """A chat completion that says back the last message."""
    asked = json.loads(body)
    said = {
        "model": asked["model"],
        "choices": [{"message": {"content": asked["messages"][-1]["content"]}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2},
    }
    return Answer(body=json.dumps(said).encode(), **more)


def refuse(status: int, code: str | None = None, **more: Any) -> Answer:
    """An error in OpenAI's shape."""
    error = {"message": "no", "type": "x", "param": None, "code": code}
    return Answer(status=status, body=json.dumps({"error": error}).encode(), **more)


class Sent:
    """One request that the upstream got; the `Call` that the engine holds."""

    def __init__(self, body: bytes, at_s: float, link: FakeLink) -> None:
        self.body = body
        self.at_s = at_s
        self.key = ""
        self.ended_s: float | None = None
        self.aborted = False
        self._link = link

    @property
    def flying(self) -> bool:
        return self.ended_s is None and not self.aborted and self._link.alive

    def abort(self) -> None:
        self.aborted = True


class FakeLink:
    """A `Link` over a function from request body to answer. Dead with its process: nothing goes out or comes in."""

    connections = 0
    idle = 0

    def __init__(self, house: House, process: Process, key: str = "") -> None:
        self._house = house
        self._process = process
        self._key = key
        self._closed = False

    @property
    def alive(self) -> bool:
        return not self._process.dead and not self._closed

    def send(self, head: bytes, body: bytes, sink: Sink) -> Sent:
        assert head.endswith(b"content-length: %d\r\n\r\n" % len(body))
        clock = self._house.clock
        call = Sent(body, clock.mono_s(), self)
        if self.alive:
            self._house.log.append(call)
            self._house.key = call.key = self._key
            answer = self._house.upstream(body)
            if not answer.silent:
                clock.call_at(clock.mono_s() + answer.delay_s, partial(self._end, call, answer, sink))
        return call

    def _end(self, call: Sent, answer: Answer, sink: Sink) -> None:
        if not call.flying:
            return
        call.ended_s = self._house.clock.mono_s()
        if answer.error is not None:
            sink.on_error(answer.error)
            return
        sink.on_head(answer.status, list(answer.headers))
        if answer.body:
            sink.on_chunk(answer.body)
        sink.on_end()

    async def aclose(self) -> None:
        self._closed = True


# --- the house --------------------------------------------------------------------------------------------------------


class House:
    """Store and blobs outlive workers, as a disk does; `new_worker` is a start of the process."""

    def __init__(self, upstream: Upstream = echo, *, pacing: Pacing | None = None, **settings: Any) -> None:
        self.clock = StepClock()
        self.chance = FixedChance()
        self.store = MemoryStore()
        self.blobs = MemoryBlobs(self.clock)
        self.spills = MemorySpillPlace()
        self.lives: list[tuple[Process, MemorySpill]] = []
        self.wake = LocalWake()
        self.upstream = upstream
        self.settings = replace(EngineSettings(), **settings)
        self.pacing = pacing or Pacing()
        self.options = LaneOptions()
        self.options_of: dict[str, LaneOptions] = {}
        self.card: RateCard | None = None
        self.native: Callable[[LaneKey, Process], NativeSetup] | None = None
        self.unconfigured: set[str] = set()
        self.keys: tuple[str, ...] = ("",)
        """The members of every lane."""
        self.key = ""
        """The one under which the request came that the upstream is asked about."""
        self.fallbacks: dict[str, tuple[str, ...]] = {}
        """By a line's model: those that come after it, all of the one provider."""
        self.wire: Callable[[LaneKey], Wire] = lambda key: OpenAIWire("http://upstream.invalid/v1", key.model)
        self.log: list[Sent] = []
        self.router = Router([RouteProvider("sim", "openai")], {}, "sim")
        self.add_tenant("default")
        self.process = Process()
        self.worker: Worker | None = None
        self.later: list[tuple[float, Callable[[], object]]] = []
        """(when, what): done by `run` once that moment has come, whatever worker lives then."""
        self.renewing = True
        self.patient = False
        """Whether steps of jobs go on by themselves, as in the worker's own loop, while turns go by."""
        self.polling = True
        """Whether every turn looks for more to claim, or only one that was hinted at."""
        self._batches = 0
        self._outsiders = asyncio.all_tasks()
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: _tell(context))

    @property
    def sent(self) -> list[bytes]:
        """Bodies of all requests, as the upstream's own log would tell."""
        return [call.body for call in self.log]

    @property
    def flying(self) -> list[Sent]:
        return [call for call in self.log if call.flying]

    @property
    def living(self) -> Worker:
        assert self.worker is not None
        return self.worker

    def add_tenant(self, name: str, weight: int = 1) -> None:
        self.store.catalog.add_tenant(Tenant(id=name, name=name, weight=weight, created_ms=0))

    def make_worker(self, process: Process | None = None) -> Worker:
        """A worker over the same store, not yet enlisted; `worker` and `process` name the latest one."""
        for earlier, spill in self.lives:
            if earlier.dead:
                spill.close()
        self.process = process = process or Process()
        spill = self.spills.open()
        self.lives.append((process, spill))

        def lane(key: LaneKey) -> LaneSetup:
            if key.model in self.unconfigured:
                raise ConfigError(f"provider of {key.model} is not configured")
            wire = self.wire(key)
            return LaneSetup(
                tuple(Member(wire, FakeLink(self, process, name), self.pacing, name) for name in self.keys)
            )

        def native(key: LaneKey) -> NativeSetup:
            if self.native is None:
                raise ConfigError(f"provider of {key.model} has no batch API")
            return self.native(key, process)

        self.worker = Worker(
            ledger=self.store.ledger,
            jobs=self.store.jobs,
            calls=DyingCalls(process),
            blobs=DyingBlobs(self.blobs, process),
            results=self.store.results,
            spill=DyingSpill(spill, process),
            wake=self.wake,
            clock=self.clock,
            chance=self.chance,
            settings=self.settings,
            router=self.router,
            upstreams=Upstreams(lane, native, self._options, self._fallbacks, self._card),
        )
        return self.worker

    def _options(self, provider: str, model: str) -> LaneOptions:
        return self.options_of.get(model, self.options)

    def _fallbacks(self, field: str, model: str) -> tuple[Resolved, ...]:
        return tuple(Resolved("sim", each, True) for each in self.fallbacks.get(model, ()))

    async def _card(self, key: LaneKey) -> RateCard | None:
        return self.card

    async def new_worker(self, process: Process | None = None) -> Worker:
        worker = self.make_worker(process)
        await self.do(worker.adopt())
        await worker.enlist()
        return worker

    async def bury(self) -> None:
        """The process has died: its tasks, timers and sockets are gone with it."""
        self.process.dead = True
        tasks = asyncio.all_tasks() - self._outsiders
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.clock._timers.clear()

    # --- input ----------------------------------------------------------------------------------------------------

    async def upload(self, data: bytes, *, tenant: str = "default") -> File:
        """A file row with blob and index, as the service makes them."""
        number = len(self.log) + self._batches + 1000
        key = f"files/{number}-{tenant}"
        indexer = Indexer(SpilledIds())
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
        self,
        lines: list[dict[str, Any]] | bytes,
        *,
        tenant: str = "default",
        window_ms: int = DAY_MS,
        metadata: dict[str, str] | None = None,
        max_cost_nano: int | None = None,
        priority: Priority = Priority.NORMAL,
        file: File | None = None,
        **more: Any,
    ) -> str:
        """Upload, unless `file` is there already, and create; returns the batch's id."""
        data = lines if isinstance(lines, bytes) else b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        self._batches += 1
        file = file or await self.upload(data, tenant=tenant)
        now_ms = self.clock.unix_ms()
        batch_id = f"batch_{self._batches:032x}"
        self.store.catalog.create_batch(
            NewBatch(
                id=batch_id,
                tenant_id=tenant,
                endpoint="/v1/chat/completions",
                completion_window="24h",
                input_file_id=file.id,
                metadata=metadata,
                created_ms=now_ms,
                expires_ms=now_ms + window_ms,
                api_key_id="key",
                body_hash=str(self._batches),
                max_cost_nano=max_cost_nano,
                priority=priority,
                **more,
            ),
            now_ms=now_ms,
        )
        return batch_id

    async def retry(self, batch_id: str, wish: dict[str, Any] | None = None, **more: Any) -> str:
        """As a person does: a new batch over the same file."""
        batch = self.batch(batch_id)
        file = self.store.catalog.file(batch.tenant_id, batch.input_file_id, self.clock.unix_ms())
        assert file is not None
        return await self.create([], file=file, retry_of=batch_id, retry=wish or {}, dedupe=batch.dedupe, **more)

    def batch(self, batch_id: str, tenant: str = "default") -> Batch:
        batch = self.store.catalog.batch(tenant, batch_id)
        assert batch is not None
        return batch

    def cancel(self, batch_id: str, tenant: str = "default") -> Batch:
        batch = self.store.catalog.cancel_batch(tenant, batch_id, self.clock.unix_ms())
        assert batch is not None
        return batch

    def share(self, batch_id: str, model: str) -> LaneShare:
        """What people are told of that lane."""
        return next(share for share in self.store.catalog.lane_shares(batch_id) if share.model == model)

    def done(self, batch_id: str) -> set[int]:
        """Numbers of the lines that are settled in the store."""
        row = self.store.state.batches[batch_id]
        return {
            each.range.first_line + place
            for each in row.ranges.values()
            for place in range(each.range.lines)
            if each.range.done >> place & 1
        }

    def open_jobs(self, batch_id: str) -> list[Job]:
        return [job for job in self.store.jobs.jobs(batch_id) if job.state is not JobState.COLLECTED]

    # --- turning --------------------------------------------------------------------------------------------------

    async def settle(self) -> None:
        """Let everything that needs no time happen. Fails when it never ends: something spins."""
        ready: Any = asyncio.get_running_loop()._ready  # type: ignore[attr-defined]
        for _ in range(ROUNDS_MAX):
            await asyncio.sleep(0)
            if not ready:
                return
        raise AssertionError(f"after {ROUNDS_MAX} turns of the loop something still wants to run: it spins")

    async def turn(self) -> int:
        """One round of every loop; returns what was done."""
        worker = self.living
        done = await self.do(worker.duties_once())
        if self.polling:
            worker._job_now.set()
        while worker._job_now.is_set():
            worker._job_now.clear()
            done += len(await self.do(worker.jobs.begin())) if self.patient else await self.do(worker.jobs_once())
        if self.polling:
            worker._claim_now.set()
        while worker._claim_now.is_set():
            worker._claim_now.clear()
            done += await self.do(worker.claims_once())
        await self.do(worker.tick())
        return done + await self.do(worker.folder.run_once())

    async def do(self, step: Coroutine[Any, Any, T]) -> T:
        """Run a step of the engine to its end, and all that follows from it. Time passes only if it waits for it."""
        task = asyncio.create_task(step)
        while True:
            await self.settle()
            if self.process.dead:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                raise Died
            if task.done():
                return task.result()
            self._pass(None)

    async def stop(self, grace_s: float) -> None:
        """The worker's own stop, while time passes for it."""
        task = asyncio.create_task(self.living.stop(grace_s))
        while not task.done():
            await self.settle()
            self.clock.advance(0.05)
            await asyncio.sleep(0.001)  # it waits for a thread, too
        await task
        self.process.dead = True

    async def step(self, step_s: float | None = None) -> None:
        """One turn, then time passes: to the next moment at which something is due, at most to the next poll."""
        await self.turn()
        self._do_later()
        self._pass(step_s)
        await self.settle()

    def _pass(self, step_s: float | None) -> None:
        if step_s is None:
            next_s = self.clock.next_timer_s()
            step_s = POLL_S if next_s is None else min(POLL_S, max(0.0, next_s - self.clock.mono_s()))
        self.clock.advance(step_s)
        if not self.process.dead and self.renewing:
            beat = self.living._lease.renew()
            if beat is not None and beat.alive:
                self.living.dispatcher.sharing.hear(beat)

    async def run(self, *batch_ids: str, limit: int = 2000, step_s: float | None = None) -> None:
        """Turn until all these batches are final; then nothing of them is left in the worker."""
        for _ in range(limit):
            await self.step(step_s)
            if all(self._final(batch_id) for batch_id in batch_ids):
                await self.turn()
                await self.fold_all()
                if all(row.final for row in self.store.state.batches.values()):
                    self.check_even()
                return
        raise AssertionError(f"not final: {[self.store.state.batches[batch_id].batch for batch_id in batch_ids]}")

    async def run_for(self, seconds: float, step_s: float | None = None) -> None:
        until_s = self.clock.mono_s() + seconds
        while self.clock.mono_s() < until_s - 1e-9:
            left_s = until_s - self.clock.mono_s()
            next_s = self.clock.next_timer_s()
            due_s = POLL_S if next_s is None else max(0.0, next_s - self.clock.mono_s())
            await self.step(min(left_s, POLL_S, due_s, step_s or POLL_S))
        await self.turn()

    async def run_until(self, true: Callable[[], bool], limit: int = 2000, step_s: float | None = None) -> None:
        for _ in range(limit):
            if true():
                return
            await self.step(step_s)
        raise AssertionError("it never came true")

    def check_even(self) -> None:
        """With every batch final, the worker holds nothing of any: no bytes, no slots, no lines, no tasks."""
        dispatcher = self.living.dispatcher
        assert (dispatcher._budget.used, dispatcher._budget.kept) == (0, 0)
        assert dispatcher._batches == {}
        assert dispatcher.journal._batches == {}
        assert dispatcher._mover._leaving == {}
        for runner in dispatcher.lanes.values():
            assert runner.loader.bytes == 0
            assert {member.limiter.in_flight for member in runner.pool.members} == {0}
            assert runner.in_flight == runner.retrying == runner.loader.queue.count == 0
            assert not runner._held_back
            assert runner._shares == {}
            assert not runner.loader.ready
            assert runner.loader.queue.held() == []
            assert runner._loading is None

    def _final(self, batch_id: str) -> bool:
        return self.store.state.batches[batch_id].batch.state in BATCH_FINAL

    def _do_later(self) -> None:
        due = [entry for entry in self.later if entry[0] <= self.clock.mono_s()]
        self.later = [entry for entry in self.later if entry not in due]
        for _, action in due:
            action()

    async def fold_all(self) -> None:
        while await self.do(self.living.folder.run_once()):
            pass

    # --- output ---------------------------------------------------------------------------------------------------

    async def text(self, file_id: str | None, tenant: str = "default") -> bytes:
        if file_id is None:
            return b""
        file = self.store.catalog.file(tenant, file_id, self.clock.unix_ms())
        assert file is not None
        content = Content(file, self.store.catalog, DyingCalls(), self.blobs)
        data = b"".join([piece async for piece in content.stream(0, file.bytes)])
        assert len(data) == file.bytes
        return data

    async def output(self, batch_id: str, tenant: str = "default") -> list[dict[str, Any]]:
        return _lines(await self.text(self.batch(batch_id, tenant).output_file_id, tenant))

    async def errors(self, batch_id: str, tenant: str = "default") -> list[dict[str, Any]]:
        return _lines(await self.text(self.batch(batch_id, tenant).error_file_id, tenant))

    async def check_whole(self, batch_id: str, tenant: str = "default") -> None:
        """Every line of the input is in exactly one file, in input order, and the counts are what the files hold."""
        batch = self.batch(batch_id, tenant)
        output, errors = await self.output(batch_id, tenant), await self.errors(batch_id, tenant)
        numbers = [[int(line["custom_id"].rpartition("-")[2]) for line in lines] for lines in (output, errors)]
        assert numbers == [sorted(each) for each in numbers]
        first = min(numbers[0] + numbers[1], default=0)
        assert sorted(numbers[0] + numbers[1]) == list(range(first, first + batch.total))
        gaps = [line for line in errors if (line["error"] or {}).get("code") in ("batch_expired", "batch_cancelled")]
        assert (batch.completed, batch.failed) == (len(output), len(errors) - len(gaps))
        for line in output:
            number = line["custom_id"].rpartition("-")[2]
            assert line["response"]["body"]["choices"][0]["message"]["content"] == f"question {number}"


def _tell(context: dict[str, Any]) -> None:
    """The loop's own word on tasks that nobody waits for, but for those that died with their process."""
    if not isinstance(context.get("exception"), Died):
        asyncio.get_running_loop().default_exception_handler(context)


def _lines(data: bytes) -> list[dict[str, Any]]:
    assert data.count(b"\n") == len(data.decode().splitlines())
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


def cut_ranges(monkeypatch: pytest.MonkeyPatch, lines: int) -> None:
    """Ranges of so few lines, so that a small batch has several."""
    monkeypatch.setattr("batchrouter.engine.ingest.Planner", partial(Planner, range_lines=lines))
