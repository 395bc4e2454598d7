"""A provider's batch API in memory, as strict as the real one is costly: it notes every line that is run twice.

It outlives processes, works by the house's clock, and can be told to be slow, to stall, to lose replies, to let its
list lag, to refuse, and to take its time with a cancel. Its results are OpenAI's.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from batchrouter.domain.job import JobPhase, NativeFacts, Seen
from batchrouter.domain.lane_choice import LaneOptions
from batchrouter.domain.shard import LaneKey
from batchrouter.engine.setup import NativeSetup
from batchrouter.errors import NativeError, NativeRefused
from batchrouter.ports.native import JobDraft
from batchrouter.providers.base import Wire
from batchrouter.providers.job_lines import OpenAILines
from batchrouter.providers.openai import OpenAIWire
from tests.unit.engine.house import Answer, House, Process, echo, question

CHAT = "/v1/chat/completions"
OPTIONS = LaneOptions(batch=True, endpoints=(CHAT,), min_requests=1, min_time_s=0.0, rate=10.0)
FACTS = NativeFacts(poll_min_s=1.0, poll_max_s=4.0)
QUICK: dict[str, Any] = {"overtake_margin_s": 30.0, "cancel_wait_s": 20.0, "lost_create_s": 5.0}
"""Engine settings for windows of a minute or two."""

Fate = Callable[[bytes], Answer | None]
"""What becomes of a line that the provider runs; None: it is expired in the results."""


@dataclass
class Filed:
    """A job as the provider has it."""

    ext_id: str
    tag: str
    made_s: float
    lines: list[tuple[str, bytes]]
    run_s: float
    stall_at: int | None
    rejected: str | None = None
    cancel_s: float | None = None
    discarded: bool = False
    ended_with: int | None = None


@dataclass
class Bureau:
    """`run_s` is how long a job takes, `stall_at` after how many lines it stops, `cancel_s` how long a cancel takes
    (None: it never ends), `lag_s` how long a new job is missing in the list. `tagless`: its jobs carry no tag.

    `faults` is asked before (done False) and after each call, and may return an error to raise.
    """

    house: House
    facts: NativeFacts = FACTS
    run_s: float = 10.0
    stall_at: int | None = None
    cancel_s: float | None = 3.0
    lag_s: float = 0.0
    tagless: bool = False
    readable: bool = False
    omit: bool = False
    """Lines that were not run are missing in the results."""
    reject: str | None = None
    """New jobs are made and then rejected as a whole, with this code."""
    lists_missing: bool = False
    slow_s: float = 0.0
    """How long a create takes to be carried out or refused."""
    deaf: int = 0
    """So many cancels are taken and forgotten."""
    held_up: asyncio.Event | None = None
    """Replies to creates wait for it."""
    fate: Fate = echo
    faults: Callable[[str, bool], NativeError | None] = lambda verb, done: None
    wire: Callable[[str], Wire] = lambda model: OpenAIWire("http://upstream.invalid/v1", model)
    jobs: dict[str, Filed] = field(default_factory=dict)
    creates: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    crimes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.house.native = self._setup
        self.house.options = OPTIONS

    def _setup(self, key: LaneKey, process: Process) -> NativeSetup:
        return NativeSetup(Api(self, process), OpenAILines(), self.wire(key.model), self.facts)

    # --- the provider's own life ------------------------------------------------------------------------------------

    @property
    def now_s(self) -> float:
        return self.house.clock.mono_s()

    def file(self, draft: JobDraft, lines: list[bytes]) -> Filed:
        entries = [json.loads(line) for line in lines]
        bodies = [(entry["custom_id"], json.dumps(entry["body"]).encode()) for entry in entries]
        self.creates[draft.tag] += 1
        taken = {question(body) for job in self.jobs.values() if not job.rejected for body in self.holds(job)}
        for key, body in bodies:
            if not key.startswith(draft.tag):
                self.crimes.append(f"{key} is not of {draft.tag}")
            if question(body) in taken:
                self.crimes.append(f"{question(body)} is in two jobs")
        ext_id = f"ext-{len(self.jobs) + 1}"
        job = Filed(ext_id, draft.tag, self.now_s, bodies, self.run_s, self.stall_at, self.reject)
        self.jobs[ext_id] = job
        return job

    def holds(self, job: Filed) -> list[bytes]:
        """Lines that the job may still run, or has run: another job for them would pay twice."""
        if self.phase(job) is not JobPhase.ENDED:
            return [body for _, body in job.lines]
        return [body for _, body in job.lines[: self.done(job)] if self._outcome(body) is not None]

    def holding(self) -> set[str]:
        """Questions in jobs that have not ended."""
        return {
            question(body)
            for job in self.jobs.values()
            if self.phase(job) is not JobPhase.ENDED
            for _, body in job.lines
        }

    def paid(self) -> set[str]:
        """Questions that some job has run."""
        return {
            question(body)
            for job in self.jobs.values()
            if not job.rejected
            for _, body in job.lines[: self.done(job)]
            if self._outcome(body) is not None
        }

    def _outcome(self, body: bytes) -> Answer | None:
        answer = self.fate(body)
        return answer if answer is not None and answer.status in (200, 400) else None

    def done(self, job: Filed) -> int:
        """Lines run so far."""
        if job.ended_with is not None:
            return job.ended_with
        until_s = self.now_s if job.cancel_s is None else min(self.now_s, job.cancel_s)
        part = 1.0 if job.run_s <= 0 else min(1.0, (until_s - job.made_s) / job.run_s)
        done = int(len(job.lines) * part + 1e-9)
        return done if job.stall_at is None else min(done, job.stall_at)

    def phase(self, job: Filed) -> JobPhase:
        if job.rejected or job.ended_with is not None:
            return JobPhase.ENDED
        if job.cancel_s is not None:
            if self.cancel_s is not None and self.now_s >= job.cancel_s + self.cancel_s:
                job.ended_with = self.done(job)
                return JobPhase.ENDED
            return JobPhase.CANCELLING
        if job.stall_at is None and self.now_s >= job.made_s + job.run_s:
            job.ended_with = len(job.lines)
            return JobPhase.ENDED
        return JobPhase.RUNNING

    def end(self, job: Filed) -> None:
        """Terminal with what it has, as by an expiry."""
        job.ended_with = self.done(job)

    def seen(self, job: Filed) -> Seen:
        done = 0 if job.rejected else self.done(job)
        return Seen(
            ext_id=job.ext_id,
            phase=self.phase(job),
            completed=done,
            total=len(job.lines),
            refused=job.rejected is not None,
            readable=self.readable and done > 0,
            code=job.rejected,
            data={"output": f"{job.ext_id}.out"},
        )

    def results(self, job: Filed) -> list[bytes]:
        ended, done = self.phase(job) is JobPhase.ENDED, self.done(job)
        lines = []
        for place, (key, body) in reversed(list(enumerate(job.lines))):
            answer = self.fate(body) if place < done else None
            if answer is not None:
                response = {"status_code": answer.status, "request_id": f"req-{key}", "body": json.loads(answer.body)}
                lines.append({"custom_id": key, "response": response, "error": None})
            elif ended and not self.omit:
                lines.append({"custom_id": key, "response": None, "error": {"code": "batch_expired", "message": "x"}})
        return [json.dumps(line).encode() for line in lines]

    # --- what a test may ask ----------------------------------------------------------------------------------------

    def check(self) -> None:
        """No tag was made twice, no line is in two jobs that could both be paid."""
        assert self.crimes == []
        assert all(count == 1 for count in self.creates.values()), self.creates


class Api:
    """`NativeApi` of one process: dead with it."""

    def __init__(self, bureau: Bureau, process: Process) -> None:
        self._bureau = bureau
        self._process = process

    async def submit(self, draft: JobDraft, lines: AsyncIterable[bytes]) -> Seen:
        assert draft.sent_ms <= self._bureau.house.clock.unix_ms()

        async def make() -> Seen:
            taken = [line async for line in lines]
            assert (len(taken), sum(len(line) + 1 for line in taken)) == (draft.lines, draft.bytes)
            return self._bureau.seen(self._bureau.file(draft, taken))

        return await self._call("submit", make)

    async def find(self, draft: JobDraft, apart: frozenset[str]) -> Seen | None:
        bureau = self._bureau

        async def look() -> Seen | None:
            for job in bureau.jobs.values():
                fits = len(job.lines) == draft.lines if bureau.tagless else job.tag == draft.tag
                if fits and job.ext_id not in apart and bureau.now_s - job.made_s >= bureau.lag_s:
                    return bureau.seen(job)
            return None

        return await self._call("find", look)

    async def look(self, ext_id: str, data: Mapping[str, str]) -> Seen:
        async def look() -> Seen:
            return self._bureau.seen(self._job(ext_id))

        return await self._call("look", look)

    async def cancel(self, ext_id: str, data: Mapping[str, str]) -> Seen:
        async def cancel() -> Seen:
            job = self._job(ext_id)
            if self._bureau.deaf:
                self._bureau.deaf -= 1
            elif self._bureau.phase(job) is JobPhase.RUNNING:
                job.cancel_s = self._bureau.now_s
            return self._bureau.seen(job)

        return await self._call("cancel", cancel)

    async def results(self, seen: Seen) -> AsyncIterator[bytes]:
        async def read() -> list[bytes]:
            return self._bureau.results(self._job(seen.ext_id))

        for line in await self._call("results", read):
            await asyncio.sleep(0)
            if self._process.dead:
                await asyncio.Event().wait()
            yield line

    async def discard(self, seen: Seen) -> None:
        self._job(seen.ext_id).discarded = True

    async def aclose(self) -> None: ...

    def _job(self, ext_id: str) -> Filed:
        job = self._bureau.jobs.get(ext_id)
        if job is None or self._bureau.lists_missing:
            raise NativeRefused("there is no such job", status=404)
        return job

    async def _call(self, verb: str, act: Callable[[], Any]) -> Any:
        """Counted as a call of the process, which may die before or after it."""
        await asyncio.sleep(0)
        self._bureau.calls[verb] += 1
        self._process.before(f"api.{verb}")
        number = self._process.count
        if verb == "submit" and self._bureau.slow_s:
            await self._bureau.house.clock.sleep(self._bureau.slow_s)
        self._fail(verb, False)
        result = await act()
        if verb == "submit" and self._bureau.held_up is not None:
            await self._bureau.held_up.wait()
        self._process.behind(f"api.{verb}", number)
        self._fail(verb, True)
        return result

    def _fail(self, verb: str, done: bool) -> None:
        error = self._bureau.faults(verb, done)
        if error is not None:
            raise error


def quick(**facts: Any) -> NativeFacts:
    return replace(FACTS, **facts)


def batch_house(upstream: Callable[[bytes], Answer] = echo, **settings: Any) -> tuple[House, Bureau]:
    house = House(upstream, **(QUICK | settings))
    return house, Bureau(house)
