"""A job at work: reads its input, runs each line when its time has come, and lays its results on the shelf.

All of it happens in one task, in slices so short that no connection waits for it.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from batchrouter.simulator.answers import error_body, expected_key, model_of
from batchrouter.simulator.jobs import ENDED, Job, Phase, failure_of, finish_order
from batchrouter.simulator.jobscript import FailLines, JobError
from batchrouter.simulator.native.dialects import Dialect
from batchrouter.simulator.native.lines import InputJudge, Line, first_model, stretches
from batchrouter.simulator.native.paper import Used, answered_line, unrun_line, used_by
from batchrouter.simulator.native.shelf import Shelf, StoredFile
from batchrouter.simulator.refusals import ERRORS
from batchrouter.simulator.reply import Reply
from batchrouter.simulator.request import Request
from batchrouter.simulator.spool import Part, Spool

if TYPE_CHECKING:
    from batchrouter.simulator.server import Simulator

SLICE = 64
SHORTEST_WAIT_S = 0.001


class Order(Struct, frozen=True, kw_only=True):
    """What somebody asked for when the job was made. `results_s`: how long result files are kept; None: for good."""

    id: str
    endpoint: str
    model: str
    input_file_id: str
    content: Part | None
    window_s: float
    window: str
    metadata: dict[str, str] | None = None
    results_s: float | None = None


class Run:
    """A native job of the OpenAI family. `content` None: its input file is not there, which it finds out at work."""

    def __init__(self, simulator: Simulator, shelf: Shelf, dialect: Dialect, order: Order) -> None:
        loop = simulator.loop
        self.id = order.id
        self.dialect: str = dialect.name
        self.path = order.endpoint
        self.model = order.model
        self.tokens = 0
        self.order = order
        self.created_unix = simulator.unix_s()
        life = simulator.desk.life(order.model or first_model(order.content), order.endpoint)
        self.job = Job(life, loop.time(), order.window_s if dialect.expires else None)
        self.completed = 0
        self.failed = 0
        self.used = Used()
        self.output_file_id: str | None = None
        self.error_file_id: str | None = None
        self._closed = False
        self._simulator = simulator
        self._shelf = shelf
        self._facts = dialect
        self._judge = InputJudge(dialect, order.endpoint, order.model, simulator.behaviour.serves)
        self._output = Spool()
        self._errors = Spool()
        self._poked = asyncio.Event()
        self._task = loop.create_task(self._work())

    # --- for whoever looks at it ------------------------------------------------------------------------------------

    def phase(self, now_s: float) -> Phase:
        """As its clients see it: an end shows only once the results can be read."""
        phase = self.job.phase(now_s)
        if phase not in ENDED or phase is Phase.FAILED or self._closed:
            return phase
        return Phase.CANCELLING if phase is Phase.CANCELLED else Phase.FINALIZING

    def unix(self, moment_s: float | None) -> float | None:
        """A moment of its job as unix time."""
        return None if moment_s is None else self.created_unix + (moment_s - self.job.created_s)

    def poke(self) -> None:
        self._poked.set()

    def forget(self) -> None:
        self._task.cancel()

    # --- its work ---------------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        refused = await self._read()
        now_s, lines = self._simulator.loop.time(), 0 if refused else len(self._judge)
        if refused:
            self.job.refuse(now_s, refused)
        else:
            self.job.begin(now_s, lines)
        order = iter(range(lines)) if self._facts.sorted else finish_order(lines)
        while True:
            now_s = self._simulator.loop.time()
            await self._run_due(order, now_s)
            if self._due(now_s):
                continue  # somebody finished the job meanwhile, in a moment that a loop's clock does not tell apart
            if self.job.phase(now_s) in ENDED:
                break
            await self._wait(now_s)
        await self._close(order, self.job.phase(now_s))

    async def _read(self) -> tuple[JobError, ...]:
        """Judge the whole input; the reasons to reject it."""
        order, batches, judge = self.order, self._simulator.desk.batches, self._judge
        if order.content is None:
            message = f"Cannot find file {order.input_file_id}, or it may not be read with this key."
            return (JobError(code="invalid_request", message=message, param="file_id"),)
        most = batches.max_bytes or self._facts.max_bytes
        if order.content.length > most:
            message = f"The input file has {order.content.length} bytes; the limit is {most}."
            return (JobError(code="file_too_large", message=message),)
        for number, (start, raw) in enumerate(stretches(order.content)):
            judge.take(start, raw)
            if number % SLICE == 0:
                await asyncio.sleep(0)
        judge.close(batches.max_requests or self._facts.max_requests)
        self.model = judge.model
        if judge.errors:
            return tuple(judge.errors)
        enqueued = self._simulator.jobs.enqueued(self.model, self._simulator.loop.time())
        if batches.enqueued_tokens is not None and enqueued + judge.tokens > batches.enqueued_tokens:
            message = (
                f"Enqueued token limit reached for {self.model}. Limit: {batches.enqueued_tokens} enqueued tokens."
            )
            return (JobError(code="token_limit_exceeded", message=message),)
        self.tokens = judge.tokens
        return ()

    async def _run_due(self, order: Iterator[int], now_s: float) -> None:
        for count in range(self._due(now_s)):
            self._run_line(next(order))
            if count % SLICE == SLICE - 1:
                await asyncio.sleep(0)

    def _due(self, now_s: float) -> int:
        return self.job.done(now_s) - self.completed - self.failed

    def _line(self, index: int) -> Line:
        assert self.order.content is not None
        return self._judge.line(self.order.content, index)

    def _run_line(self, index: int) -> None:
        line = self._line(index)
        key = expected_key(line.body)
        reply = self._answer(line, key, index)
        record = answered_line(self.id, index, line.custom_id, reply.status, reply.body)
        if reply.status == 200:
            self.completed += 1
            self.used.add(used_by(reply.body))
        else:
            self.failed += 1
        (self._output if reply.status == 200 or self._facts.one_file else self._errors).write(record)
        self._simulator.ran(self.id, line.custom_id, self.path, key, line.body, reply)

    def _answer(self, line: Line, key: str, index: int) -> Reply:
        fails = failure_of(self.job.life.fail_lines, index, line.body)
        if fails is not None:
            return failed_line(fails, self.model)
        body = line.body if self._facts.whole_lines else with_model(line.body, self.model)
        request = Request("POST", self.path, key, body, native=True)
        return self._simulator.behaviour.run_line(request, self._simulator.loop.time())

    async def _wait(self, now_s: float) -> None:
        """Until there is something to do, or somebody says so."""
        next_s = self.job.next_s(now_s)
        self._poked.clear()
        try:
            async with asyncio.timeout(None if next_s is None else max(SHORTEST_WAIT_S, next_s - now_s)):
                await self._poked.wait()
        except TimeoutError:
            return

    async def _close(self, order: Iterator[int], end: Phase) -> None:
        """Deliver what there is. The files are there before the end shows."""
        keeps = self.job.life.expire_keeps
        keeps = self._facts.expire_keeps if keeps is None else keeps
        if end is not Phase.FAILED and (end is not Phase.EXPIRED or keeps):
            if end is not Phase.COMPLETED and self._facts.tells_unrun:
                await self._tell_unrun(order, end)
            self.output_file_id = self._deliver(self._output, "output")
            self.error_file_id = self._deliver(self._errors, "error", self._facts.empty_error_file)
        self._output = self._errors = Spool()
        self._closed = True

    async def _tell_unrun(self, order: Iterator[int], end: Phase) -> None:
        spool = self._output if self._facts.one_file else self._errors
        for count, index in enumerate(order):
            spool.write(unrun_line(self.id, index, self._line(index).custom_id, end))
            if count % SLICE == SLICE - 1:
                await asyncio.sleep(0)

    def _deliver(self, spool: Spool, what: str, even_empty: bool = False) -> str | None:
        if not len(spool) and not even_empty:
            return None
        now_unix = self._simulator.unix_s()
        file = StoredFile(
            id=result_id(self._facts, self.id),
            filename=f"{self.id}_{what}.jsonl",
            purpose="batch_output" if self._facts.purpose == "batch" else self._facts.purpose,
            created_unix=now_unix,
            content=Part(spool),
            expires_unix=None if self.order.results_s is None else now_unix + self.order.results_s,
            made=True,
        )
        return self._shelf.add(file).id


def result_id(dialect: Dialect, job_id: str) -> str:
    """What a result file is called. Gemini's name is that of the job, and longer than its own API takes (sic)."""
    match dialect.name:
        case "gemini":
            return f"files/batch-{job_id.removeprefix('batches/')}"
        case "mistral":
            return str(uuid.uuid4())
        case _:
            return f"file-{uuid.uuid4().hex[:24]}"


def failed_line(fails: FailLines, model: str) -> Reply:
    """The reply of a line that the script lets fail."""
    if fails.status == 0:
        return Reply(0, b"", model=model)
    kind, code, message = ERRORS.get(fails.status, ERRORS[500] if fails.status >= 500 else ERRORS[400])
    body = error_body(fails.message or message, fails.type or kind, None, fails.code or code)
    return Reply(fails.status, body, model=model)


def with_model(body: bytes, model: str) -> bytes:
    """The body of a line, with the job's model where it names none."""
    if not model or model_of(body):
        return body
    rest = body.lstrip()[1:].lstrip()
    comma = b"" if rest.startswith(b"}") else b","
    return b'{"model":%b%b%b' % (msgspec.json.encode(model), comma, rest)
