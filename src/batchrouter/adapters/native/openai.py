"""OpenAI's Batch API and everybody who took it over: a file goes up, a job is made of it, files come down.

Facts: OpenAI's API reference ("Batches": lists are newest first, by pages of at most 100; a cancel is refused with 409
once a job has ended); Together (together-python: lists are bare arrays, `create` wraps the job).
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from batchrouter.adapters.native.body import file_name
from batchrouter.adapters.native.caller import Caller
from batchrouter.adapters.native.ending import cancelled, certain, deleted
from batchrouter.adapters.native.files import Files, part
from batchrouter.adapters.native.job_object import FILES, TAG, seen_of, tag_of
from batchrouter.adapters.native.search import PAGE, Page, newest_first
from batchrouter.domain.job import NativeFacts, Seen
from batchrouter.errors import NativeRefused, NativeUnknown
from batchrouter.ports.native import JobDraft


class OpenAIBatches:
    """`ports.native.NativeApi` in OpenAI's dialect."""

    def __init__(self, caller: Caller, files: Files, facts: NativeFacts) -> None:
        self._caller = caller
        self._files = files
        self._facts = facts

    async def submit(self, draft: JobDraft, lines: AsyncIterable[bytes]) -> Seen:
        try:
            file_id = await self._files.upload(draft, lines)
        except NativeUnknown as lost:
            # Whatever became of the file: there is no job.
            raise NativeUnknown(str(lost), sent=False) from lost.__cause__
        endpoint = self._facts.url_rewrite.get(draft.endpoint, draft.endpoint)
        wish: dict[str, object] = {
            "input_file_id": file_id,
            "endpoint": endpoint,
            "completion_window": window(draft.window_s),
        }
        if self._files.tags:
            wish["metadata"] = {TAG: draft.tag}
        what = f"{self._caller.host}: making the job {draft.tag}"
        try:
            reply = await self._caller.ask("POST", "/batches", what, json=wish)
        except NativeRefused as refused:
            if certain(refused):
                await deleted(self._files.delete(file_id))
            raise
        return self._seen(reply.json(what), {FILES[0]: file_id}, what)

    async def find(self, draft: JobDraft, apart: frozenset[str]) -> Seen | None:
        what = f"{self._caller.host}: the list of jobs"
        async with aclosing(newest_first(lambda after: self._page(after, what), draft.sent_ms)) as jobs:
            async for job, _ in jobs:
                if job["id"] not in apart and await self._is(job, draft):
                    return self._seen(job, {}, what)
        return None

    async def look(self, ext_id: str, data: Mapping[str, str]) -> Seen:
        what = f"{self._caller.host}: the job {ext_id}"
        return self._seen((await self._caller.ask("GET", f"/batches/{part(ext_id)}", what)).json(what), data, what)

    async def cancel(self, ext_id: str, data: Mapping[str, str]) -> Seen:
        async def ask() -> Seen:
            what = f"{self._caller.host}: cancelling the job {ext_id}"
            reply = await self._caller.ask("POST", f"/batches/{part(ext_id)}/cancel", what)
            return self._seen(reply.json(what), data, what)

        return await cancelled(ask, lambda: self.look(ext_id, data))

    async def results(self, seen: Seen) -> AsyncIterator[bytes]:
        for file_id in _named(seen, FILES[1:]):
            async with aclosing(self._files.lines(file_id)) as lines:
                async for line in lines:
                    yield line

    async def discard(self, seen: Seen) -> None:
        for file_id in _named(seen, FILES):
            await deleted(self._files.delete(file_id))

    async def aclose(self) -> None:
        await self._files.aclose()
        await self._caller.aclose()

    # --- inside -----------------------------------------------------------------------------------------------------

    async def _page(self, after: str | None, what: str) -> Page:
        query = f"?limit={PAGE}" + (f"&after={part(after)}" if after else "")
        answer = await self._caller.ask("GET", f"/batches{query}", what)
        reply, ahead_ms = answer.json(what), self._caller.ahead_ms(answer)
        if isinstance(reply, list):
            return Page.of([self._unwrapped(job) for job in reply], "created_at", None, ahead_ms)
        if not isinstance(reply, dict) or not isinstance(reply.get("data"), list | None):
            raise NativeUnknown(f"{what} was answered with something that is no list")
        jobs = [self._unwrapped(job) for job in reply.get("data") or []]
        further = reply.get("last_id") if reply.get("has_more") else None
        return Page.of(jobs, "created_at", further, ahead_ms)

    async def _is(self, job: dict[str, Any], draft: JobDraft) -> bool:
        tag = tag_of(job)
        if tag is not None or self._files.tags:
            return tag == draft.tag
        file_id = job.get(FILES[0])
        if not isinstance(file_id, str) or not file_id:
            return False
        try:
            return await self._files.name(file_id) == file_name(draft)
        except NativeRefused as refused:
            if refused.status not in (403, 404):  # the file of a job may be gone; Gemini then speaks of access
                raise
            return False

    def _seen(self, job: Any, data: Mapping[str, str], what: str) -> Seen:
        return seen_of(self._unwrapped(job), self._facts, data, self._caller.clock.unix_ms(), what)

    def _unwrapped(self, job: Any) -> Any:
        wrap = self._facts.unwrap
        return job[wrap] if wrap is not None and isinstance(job, dict) and isinstance(job.get(wrap), dict) else job


def _named(seen: Seen, names: Sequence[str]) -> Iterable[str]:
    """The files that it has of these; Gemini puts answers and errors into one."""
    return dict.fromkeys(seen.data[name] for name in names if name in seen.data)


def window(seconds: int) -> str:
    """As providers spell it: `24h`, more whole days in days (`7d`), else hours, at least one."""
    days, rest = divmod(seconds, 86_400)
    return f"{days}d" if days > 1 and not rest else f"{max(1, seconds // 3600)}h"
