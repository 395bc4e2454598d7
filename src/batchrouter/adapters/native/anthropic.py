"""Anthropic's Message Batches: all requests in the body that makes the job, all results in one file.

Facts: anthropic-python 2.11.0, `resources/messages/batches.py` and `types/messages`; Anthropic's "Batch processing": a
job carries no tag and no name, counts stay `processing` until the end, results stand behind the job's own path.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any

from batchrouter.adapters.native.body import listed
from batchrouter.adapters.native.caller import Caller
from batchrouter.adapters.native.ending import cancelled, deleted
from batchrouter.adapters.native.files import part
from batchrouter.adapters.native.job_object import count_of, is_id
from batchrouter.adapters.native.search import PAGE, Page, newest_first
from batchrouter.domain.job import JobPhase, Seen
from batchrouter.errors import NativeUnknown
from batchrouter.ports.native import JobDraft

VERSION = "2023-06-01"
_BATCHES = "/messages/batches"
_RESULTS = "results"
PHASES = {"in_progress": JobPhase.RUNNING, "canceling": JobPhase.CANCELLING, "ended": JobPhase.ENDED}


class AnthropicBatches:
    """`ports.native.NativeApi` in Anthropic's dialect. The caller's headers hold the key and the version."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def submit(self, draft: JobDraft, lines: AsyncIterable[bytes]) -> Seen:
        what = f"{self._caller.host}: making the job {draft.tag}"
        body = listed(draft, lines)
        reply = await self._caller.upload("POST", _BATCHES, what, body, {"content-type": "application/json"})
        return seen_of(reply.json(what), what)

    async def find(self, draft: JobDraft, apart: frozenset[str]) -> Seen | None:
        what = f"{self._caller.host}: the list of jobs"
        likely: list[tuple[int, Seen]] = []
        async for job, made_ms in newest_first(lambda after: self._page(after, what), draft.sent_ms):
            seen = seen_of(job, what)
            if seen.total == draft.lines and seen.ext_id not in apart:
                likely.append((0 if made_ms is None else abs(made_ms - draft.sent_ms), seen))
        return min(likely, key=lambda each: each[0])[1] if likely else None

    async def look(self, ext_id: str, data: Mapping[str, str]) -> Seen:
        what = f"{self._caller.host}: the job {ext_id}"
        return seen_of((await self._caller.ask("GET", f"{_BATCHES}/{part(ext_id)}", what)).json(what), what)

    async def cancel(self, ext_id: str, data: Mapping[str, str]) -> Seen:
        async def ask() -> Seen:
            what = f"{self._caller.host}: cancelling the job {ext_id}"
            return seen_of((await self._caller.ask("POST", f"{_BATCHES}/{part(ext_id)}/cancel", what)).json(what), what)

        return await cancelled(ask, lambda: self.look(ext_id, data))

    async def results(self, seen: Seen) -> AsyncIterator[bytes]:
        if _RESULTS in seen.data:
            # Not `results_url`: the key goes to the address that the configuration names, and to no other.
            path = f"{_BATCHES}/{part(seen.ext_id)}/results"
            async with aclosing(self._caller.lines(path, f"{self._caller.host}: the results")) as lines:
                async for line in lines:
                    yield line

    async def discard(self, seen: Seen) -> None:
        if seen.phase is JobPhase.ENDED:
            what = f"{self._caller.host}: deleting the job {seen.ext_id}"
            await deleted(self._caller.ask("DELETE", f"{_BATCHES}/{part(seen.ext_id)}", what))

    async def aclose(self) -> None:
        await self._caller.aclose()

    async def _page(self, after: str | None, what: str) -> Page:
        query = f"?limit={PAGE}" + (f"&after_id={part(after)}" if after else "")
        answer = await self._caller.ask("GET", f"{_BATCHES}{query}", what)
        reply = answer.json(what)
        if not isinstance(reply, dict) or not isinstance(reply.get("data"), list):
            raise NativeUnknown(f"{what} was answered with something that is no list")
        further = reply.get("last_id") if reply.get("has_more") else None
        return Page.of(reply["data"], "created_at", further, self._caller.ahead_ms(answer))


def seen_of(job: Any, what: str) -> Seen:
    counts = job.get("request_counts") if isinstance(job, dict) else None
    if not isinstance(counts, dict) or not is_id(job.get("id")):
        raise NativeUnknown(f"{what} was answered with something that is no job")
    numbers = {name: count_of(count) for name, count in counts.items()}
    return Seen(
        ext_id=job["id"],
        phase=PHASES.get(str(job.get("processing_status")), JobPhase.RUNNING),
        completed=numbers.get("succeeded", 0),
        failed=numbers.get("errored", 0),
        total=sum(numbers.values()),
        data={_RESULTS: "yes"} if job.get("results_url") else {},
    )
