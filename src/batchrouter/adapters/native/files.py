"""Files of jobs, as OpenAI has them: a form goes up, `/content` comes down."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote

from batchrouter.adapters.native.body import form
from batchrouter.adapters.native.caller import Caller
from batchrouter.adapters.native.job_object import is_id
from batchrouter.errors import NativeRefused, NativeUnknown
from batchrouter.ports.native import JobDraft

READY_EVERY_S = 2.0
READY_LOOKS_MAX = 150
"""Five minutes: Azure takes files that it has not read yet ("only files with status 'Processed' are accepted")."""
_NOT_READY = frozenset({"pending", "running", "processing", "notrunning"})
_SPOILT = frozenset({"error", "failed"})


class Files(Protocol):
    """Where a provider keeps the files of its jobs. Errors as in `ports.native`.

    `tags`: jobs take metadata there; else a job is known by the name of its file.
    """

    tags: bool

    async def upload(self, draft: JobDraft, lines: AsyncIterable[bytes]) -> str:
        """The new file's id; the file can be used, and its name is that of `body.file_name`."""
        ...

    async def name(self, file_id: str) -> str | None:
        """The name that was given to it."""
        ...

    def lines(self, file_id: str) -> AsyncGenerator[bytes, None]: ...

    async def delete(self, file_id: str) -> None: ...

    async def aclose(self) -> None: ...


class OpenAIFiles:
    tags = True

    def __init__(self, caller: Caller, purpose: str) -> None:
        self._caller = caller
        self._purpose = purpose

    async def upload(self, draft: JobDraft, lines: AsyncIterable[bytes]) -> str:
        what = f"{self._caller.host}: the upload of {draft.tag}"
        kind, body = form(draft, lines, {"purpose": self._purpose})
        reply = await self._caller.upload("POST", "/files", what, body, {"content-type": kind})
        file = file_of(reply.json(what), what)
        await ready(self._caller, file, f"/files/{part(file.id)}")
        return file.id

    async def name(self, file_id: str) -> str | None:
        what = f"{self._caller.host}: the file {file_id}"
        return file_of((await self._caller.ask("GET", f"/files/{part(file_id)}", what)).json(what), what).name

    def lines(self, file_id: str) -> AsyncGenerator[bytes, None]:
        # SiliconFlow names the result's address in place of an id; it is not told who we are (`Caller`).
        url = file_id if file_id.startswith(("http://", "https://")) else f"/files/{part(file_id)}/content"
        return self._caller.lines(url, f"{self._caller.host}: the results")

    async def delete(self, file_id: str) -> None:
        await self._caller.ask("DELETE", f"/files/{part(file_id)}", f"{self._caller.host}: deleting a file")

    async def aclose(self) -> None:
        await self._caller.aclose()


class FileSeen(NamedTuple):
    id: str
    name: str | None
    status: str


def part(name: str) -> str:
    """An id as a part of a path. Google's hold a slash that belongs there."""
    return quote(name, safe="/")


def file_of(reply: Any, what: str) -> FileSeen:
    """The file of a reply; SiliconFlow wraps it in `data`, Gemini in `file`. `NativeUnknown` if there is none."""
    for file in (reply, *(reply.get(wrap) for wrap in ("data", "file"))) if isinstance(reply, dict) else ():
        if isinstance(file, dict):
            file_id = file.get("id") or file.get("name")
            name = file.get("filename") or file.get("displayName")
            if is_id(file_id):
                status = str(file.get("status") or file.get("state") or "").lower()
                return FileSeen(file_id, name if isinstance(name, str) else None, status)
    raise NativeUnknown(f"{what} was answered with something that is no file")


async def ready(caller: Caller, file: FileSeen, path: str) -> None:
    """Wait until a file can be used; most can at once. Raises `NativeRefused` when it never will."""
    what = f"{caller.host}: the file {file.id}"
    for _ in range(READY_LOOKS_MAX):
        if file.status in _SPOILT:
            raise NativeRefused(f"{what} could not be read by the provider", status=400, code="invalid_file")
        if file.status not in _NOT_READY:
            return
        await caller.clock.sleep(READY_EVERY_S)
        file = file_of((await caller.ask("GET", path, what)).json(what), what)
    raise NativeUnknown(f"{what} is still not ready")
