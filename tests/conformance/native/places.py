"""Where each dialect stands in the simulator, and what the suite asks of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from batchrouter.adapters.clock import RealClock
from batchrouter.adapters.native import native_api
from batchrouter.domain.job import JobPhase, NativeFacts, Result, ResultKind, Seen, key_line, line_key
from batchrouter.ports.native import JobDraft, NativeApi
from batchrouter.providers.base import JobLines
from batchrouter.providers.hosts import Host, host_named
from batchrouter.providers.job_lines import job_lines
from batchrouter.simulator import script_from
from batchrouter.simulator.process import SimulatorProcess

CHAT = "/v1/chat/completions"
KEY = "sk-a-secret-that-nobody-may-see"
PATIENCE_S = 20.0


@dataclass(frozen=True, slots=True)
class Dialect:
    """A row of the suite. `own`: the simulator's `--batch-dialect`; `path`: where the API stands in it."""

    name: str
    own: str
    path: str
    tagged: bool = True
    """A lost job is found for certain; else only by time and count."""
    expires_empty: bool = False
    """An expired job delivers nothing (Gemini)."""

    @property
    def host(self) -> Host:
        host = host_named(self.name)
        assert host is not None
        return host

    @property
    def facts(self) -> NativeFacts:
        facts = self.host.batch
        assert facts is not None
        return facts

    @property
    def auth(self) -> dict[str, str]:
        return {self.host.auth_header: f"{self.host.auth_scheme} {KEY}".strip()}


DIALECTS = {
    dialect.name: dialect
    for dialect in (
        Dialect("openai", "openai", "/v1"),
        Dialect("azure", "openai", "/openai/v1"),
        Dialect("gemini", "openai", "/v1beta/openai", expires_empty=True),
        Dialect("anthropic", "openai", "/v1", tagged=False),
        Dialect("groq", "groq", "/openai/v1"),
        Dialect("mistral", "mistral", "/v1"),
        Dialect("together", "together", "/v1"),
    )
}


@dataclass(slots=True)
class Place:
    """One dialect at work. `made` holds what was submitted, by tag."""

    dialect: Dialect
    simulator: SimulatorProcess
    api: NativeApi
    made: dict[str, list[bytes]] = field(default_factory=dict)

    @property
    def lines(self) -> JobLines:
        return job_lines(self.dialect.facts)

    @property
    def model(self) -> str:
        return "claude-haiku-4-5" if self.dialect.name == "anthropic" else "m"

    def live(self, **batches: Any) -> None:
        """How jobs live from now on."""
        self.simulator.set_script(script_from({"batches": batches}))

    def body(self, number: int) -> bytes:
        members: dict[str, Any] = {"messages": [{"role": "user", "content": f"é {number}"}], "model": self.model}
        if self.dialect.name == "anthropic":
            members = {"max_tokens": 99, **members}
        return json.dumps(members, separators=(",", ":"), ensure_ascii=False).encode()

    def job(self, count: int, tag: str = "job_0123456789abcdef01234567") -> tuple[JobDraft, list[bytes]]:
        lines = [self.lines.write(line_key(tag, number), CHAT, self.body(number)) for number in range(count)]
        self.made[tag] = lines
        return draft(tag, lines, self.model), lines

    async def submit(self, count: int, tag: str = "job_0123456789abcdef01234567") -> tuple[JobDraft, Seen]:
        job, lines = self.job(count, tag)
        return job, await self.api.submit(job, stream(lines))

    async def ended(self, seen: Seen) -> Seen:
        """The job once it has ended."""
        async with asyncio.timeout(PATIENCE_S):
            while seen.phase is not JobPhase.ENDED:
                seen = await self.api.look(seen.ext_id, seen.data)
        return seen

    async def results(self, seen: Seen, tag: str) -> dict[int, Result]:
        """By line; each comes once."""
        found: dict[int, Result] = {}
        async for line in self.api.results(seen):
            result = self.lines.read(line)
            number = key_line(tag, result.key)
            assert number is not None, line
            assert number not in found, line
            found[number] = result
        return found

    def answers(self, results: Mapping[int, Result]) -> list[int]:
        """The lines that were answered well, with what the simulator says to that very line."""
        good = sorted(number for number, result in results.items() if result.status == 200)
        for number in good:
            assert f"é {number}" in json.dumps(json.loads(results[number].body), ensure_ascii=False)
        return good

    def native_lines(self) -> int:
        """How many lines the provider ran, and would be paid for."""
        return sum(entry.end == "native" for entry in self.simulator.log())


def open_api(dialect: Dialect, url: str, headers: Mapping[str, str] | None = None) -> NativeApi:
    return native_api(
        dialect.facts,
        base_url=url + dialect.path,
        headers=dialect.auth if headers is None else headers,
        clock=RealClock(),
        env={},
    )


def draft(tag: str, lines: Sequence[bytes], model: str = "m", sent_ms: int | None = None) -> JobDraft:
    return JobDraft(
        tag=tag,
        endpoint=CHAT,
        model=model,
        lines=len(lines),
        bytes=sum(map(len, lines)) + len(lines),
        sent_ms=RealClock().unix_ms() if sent_ms is None else sent_ms,
        window_s=86_400,
    )


async def stream(lines: Sequence[bytes]) -> AsyncIterator[bytes]:
    for line in lines:
        yield line


def unfinished(results: Mapping[int, Result]) -> list[int]:
    return sorted(number for number, result in results.items() if result.kind is ResultKind.UNFINISHED)
