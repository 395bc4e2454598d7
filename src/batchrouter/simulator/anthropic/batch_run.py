"""A Message Batch at work: runs each line when its time has come and lays down its result.

It knows no validation and no failure as a whole: a script's `fail_job` becomes an error of every line that had not run.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from batchrouter.simulator.answers import expected_key, model_of
from batchrouter.simulator.anthropic.errors import error_object, refusal, request_id
from batchrouter.simulator.anthropic.messages import PATH
from batchrouter.simulator.jobs import ENDED, Job, Phase, failure_of, finish_order
from batchrouter.simulator.reply import Reply
from batchrouter.simulator.request import Request
from batchrouter.simulator.spool import Part, Spool

if TYPE_CHECKING:
    from batchrouter.simulator.server import Simulator

WINDOW_S = 86_400.0
SLICE = 64
SHORTEST_WAIT_S = 0.001

_json = msgspec.json.Encoder().encode


class Line(NamedTuple):
    custom_id: str
    params: msgspec.Raw


class BatchRun:
    """A native job (`jobbook.NativeJob`). `model` is that of its first line; the others may have their own."""

    def __init__(self, simulator: Simulator, lines: list[Line], tokens: int, now_s: float) -> None:
        self.id = f"msgbatch_{uuid.uuid4().hex[:24]}"
        self.dialect = "anthropic"
        self.path = PATH
        self.model = model_of(bytes(lines[0].params))
        self.tokens = tokens
        self.job = Job(simulator.desk.life(self.model, PATH), now_s, WINDOW_S)
        self.job.begin(now_s, len(lines))
        self.counts = {"succeeded": 0, "errored": 0, "canceled": 0, "expired": 0}
        self._created_unix = simulator.unix_s()
        self._simulator = simulator
        self._lines = lines
        self._total = len(lines)
        self._ran = 0
        self._results = Spool()
        self._closed = False
        self._poked = asyncio.Event()
        self._task = simulator.loop.create_task(self._work())

    # --- for whoever looks at it ------------------------------------------------------------------------------------

    def has_ended(self, now_s: float) -> bool:
        """Only once its results can be read."""
        return self._closed and self.job.phase(now_s) in ENDED

    def told(self, base: str, now_s: float) -> dict[str, object]:
        """The MessageBatch. All lines are `processing` until the end, whatever has run."""
        ended = self.has_ended(now_s)
        canceling = self.job.cancelling_s is not None
        counts = (
            {"processing": 0, **self.counts} if ended else {**dict.fromkeys(self.counts, 0), "processing": self._total}
        )
        return {
            "id": self.id,
            "type": "message_batch",
            "processing_status": "ended" if ended else "canceling" if canceling else "in_progress",
            "request_counts": counts,
            "created_at": self._time(self.job.created_s),
            "expires_at": self._time(self.job.expires_s),
            "ended_at": self._time(self.job.ended_s()) if ended else None,
            "cancel_initiated_at": self._time(self.job.cancelling_s),
            "archived_at": None,
            "results_url": f"{base}/v1/messages/batches/{self.id}/results" if ended else None,
        }

    def results(self) -> Part:
        return Part(self._results)

    def poke(self) -> None:
        self._poked.set()

    def forget(self) -> None:
        self._task.cancel()

    def _time(self, moment_s: float | None) -> str | None:
        if moment_s is None:
            return None
        unix_s = self._created_unix + (moment_s - self.job.created_s)
        return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    # --- its work ---------------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        order = finish_order(self._total)
        while True:
            now_s = self._simulator.loop.time()
            await self._run_due(order, now_s)
            if self.job.done(now_s) > self._ran:
                continue  # somebody finished the job meanwhile, in a moment that a loop's clock does not tell apart
            if self.job.phase(now_s) in ENDED:
                break
            await self._wait(now_s)
        await self._close(order, self.job.phase(now_s))

    async def _run_due(self, order: Iterator[int], now_s: float) -> None:
        for count in range(self.job.done(now_s) - self._ran):
            self._run_line(next(order))
            if count % SLICE == SLICE - 1:
                await asyncio.sleep(0)

    async def _wait(self, now_s: float) -> None:
        """Until there is something to do, or somebody says so."""
        next_s = self.job.next_s(now_s)
        self._poked.clear()
        try:
            async with asyncio.timeout(None if next_s is None else max(SHORTEST_WAIT_S, next_s - now_s)):
                await self._poked.wait()
        except TimeoutError:
            return

    def _run_line(self, index: int) -> None:
        line = self._lines[index]
        body = bytes(line.params)
        key = expected_key(body)
        reply = self._answer(index, key, body)
        self._simulator.ran(self.id, line.custom_id, PATH, key, body, reply)
        self._ran += 1
        if reply.status == 200:
            self._settle(line, "succeeded", b',"message":' + reply.body)
        else:
            self._settle(line, "errored", b',"error":' + reply.body)

    def _answer(self, index: int, key: str, body: bytes) -> Reply:
        """What the line gets. A reply that is no JSON on one line becomes an `api_error`."""
        simulator = self._simulator
        number = simulator.log.requests + 1
        fails = failure_of(self.job.life.fail_lines, index, body)
        if fails is not None:
            model, status = model_of(body), fails.status or 500
            return refusal(status, number, type=fails.type, message=fails.message, code=fails.code, model=model)
        asked = Request("POST", PATH, key, body, native=True, number=number)
        reply = simulator.behaviour.run_line(asked, simulator.loop.time())
        if not _is_json(reply.body):
            return refusal(500, number, model=reply.model)
        return reply

    def _settle(self, line: Line, outcome: str, rest: bytes = b"") -> None:
        self.counts[outcome] += 1
        record = b'{"custom_id":%b,"result":{"type":"%b"%b}}\n' % (_json(line.custom_id), outcome.encode(), rest)
        self._results.write(record)

    async def _close(self, order: Iterator[int], end: Phase) -> None:
        """Every line that had not run gets its result; then the end shows."""
        keeps = self.job.life.expire_keeps is not False
        if end is Phase.EXPIRED and not keeps:
            self._results, order = Spool(), iter(range(self._total))
            self.counts = dict.fromkeys(self.counts, 0)
        for count, index in enumerate(order):
            self._leave(self._lines[index], end)
            if count % SLICE == SLICE - 1:
                await asyncio.sleep(0)
        self._lines = []
        self._closed = True

    def _leave(self, line: Line, end: Phase) -> None:
        match end:
            case Phase.CANCELLED:
                self._settle(line, "canceled")
            case Phase.EXPIRED:
                self._settle(line, "expired")
            case _:
                told = next(iter(self.job.failure()), None)
                message = told.message if told is not None else None
                number = self._simulator.log.requests
                self._settle(line, "errored", b',"error":' + error_object(500, None, message, None, request_id(number)))


def _is_json(body: bytes) -> bool:
    try:
        msgspec.json.decode(body, type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError):
        return False
    return b"\n" not in body
