"""Mistral's batch jobs: files as OpenAI has them, jobs of its own.

Facts: mistralai 3.7.0, `jobs.py` and `models/batchjob.py`; Mistral's "Batch inference": the model stands in the job,
whose time limit is in hours.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from batchrouter.adapters.native.caller import Caller
from batchrouter.adapters.native.ending import cancelled, certain, deleted
from batchrouter.adapters.native.files import Files, part
from batchrouter.adapters.native.job_object import TAG, count_of, is_file, is_job, tag_of
from batchrouter.adapters.native.search import PAGE, Page, newest_first
from batchrouter.domain.job import JobPhase, NativeFacts, Seen
from batchrouter.errors import NativeRefused, NativeUnknown
from batchrouter.ports.native import JobDraft

_JOBS = "/batch/jobs"
_LIST_SINCE_MS = 86_400_000
"""How far its clock may be behind ours, which is known only from its reply."""
_INPUT, _RESULTS = "input_file", ("output_file", "error_file")
PHASES = {
    "QUEUED": JobPhase.RUNNING,
    "RUNNING": JobPhase.RUNNING,
    "CANCELLATION_REQUESTED": JobPhase.CANCELLING,
    "SUCCESS": JobPhase.ENDED,
    "FAILED": JobPhase.ENDED,
    "TIMEOUT_EXCEEDED": JobPhase.ENDED,
    "CANCELLED": JobPhase.ENDED,
}


class MistralJobs:
    """`ports.native.NativeApi` in Mistral's dialect."""

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
        wish = {
            "input_files": [file_id],
            "endpoint": self._facts.url_rewrite.get(draft.endpoint, draft.endpoint),
            "model": draft.model,
            "timeout_hours": max(1, draft.window_s // 3600),
            "metadata": {TAG: draft.tag},
        }
        what = f"{self._caller.host}: making the job {draft.tag}"
        try:
            reply = await self._caller.ask("POST", _JOBS, what, json=wish)
        except NativeRefused as refused:
            if certain(refused):
                await deleted(self._files.delete(file_id))
            raise
        return seen_of(reply.json(what), what)

    async def find(self, draft: JobDraft, apart: frozenset[str]) -> Seen | None:
        what = f"{self._caller.host}: the list of jobs"
        since = datetime.fromtimestamp((draft.sent_ms - _LIST_SINCE_MS) / 1000, UTC).isoformat()
        query = f"?page_size={PAGE}&order_by=-created&created_after={quote(since)}"
        async with aclosing(newest_first(lambda after: self._page(query, after, what), draft.sent_ms)) as jobs:
            async for job, _ in jobs:
                if tag_of(job) == draft.tag and job["id"] not in apart:
                    return seen_of(job, what)
        return None

    async def look(self, ext_id: str, data: Mapping[str, str]) -> Seen:
        what = f"{self._caller.host}: the job {ext_id}"
        return seen_of((await self._caller.ask("GET", f"{_JOBS}/{part(ext_id)}", what)).json(what), what)

    async def cancel(self, ext_id: str, data: Mapping[str, str]) -> Seen:
        async def ask() -> Seen:
            what = f"{self._caller.host}: cancelling the job {ext_id}"
            return seen_of((await self._caller.ask("POST", f"{_JOBS}/{part(ext_id)}/cancel", what)).json(what), what)

        return await cancelled(ask, lambda: self.look(ext_id, data))

    async def results(self, seen: Seen) -> AsyncIterator[bytes]:
        for name in _RESULTS:
            if name in seen.data:
                async with aclosing(self._files.lines(seen.data[name])) as lines:
                    async for line in lines:
                        yield line

    async def discard(self, seen: Seen) -> None:
        for name in (_INPUT, *_RESULTS):
            if name in seen.data:
                await deleted(self._files.delete(seen.data[name]))

    async def aclose(self) -> None:
        await self._caller.aclose()

    async def _page(self, query: str, after: str | None, what: str) -> Page:
        number = int(after or 0)
        answer = await self._caller.ask("GET", f"{_JOBS}{query}&page={number}", what)
        reply = answer.json(what)
        if not isinstance(reply, dict) or not isinstance(reply.get("data"), list | None):
            raise NativeUnknown(f"{what} was answered with something that is no list")
        jobs = reply.get("data") or []
        further = str(number + 1) if len(jobs) >= PAGE else None
        return Page.of(jobs, "created_at", further, self._caller.ahead_ms(answer))


def seen_of(job: Any, what: str) -> Seen:
    if not is_job(job):
        raise NativeUnknown(f"{what} was answered with something that is no job")
    word = job["status"]
    completed, failed = count_of(job.get("succeeded_requests")), count_of(job.get("failed_requests"))
    data = {name: job[name] for name in _RESULTS if is_file(job.get(name))}
    refused = word == "FAILED" and not data and completed == 0
    inputs = job.get("input_files")
    if isinstance(inputs, list) and inputs and is_file(inputs[0]):
        data[_INPUT] = inputs[0]
    phase = PHASES.get(word, JobPhase.RUNNING)
    return Seen(
        ext_id=job["id"],
        phase=phase,
        completed=completed,
        failed=failed,
        total=count_of(job.get("total_requests")),
        refused=refused,
        # Mistral gives reasons in sentences alone, which may hold a part of a line.
        code="failed" if refused else None,
        reason=f"it ended as {word}" if phase is JobPhase.ENDED and word != "SUCCESS" else None,
        data=data,
    )
