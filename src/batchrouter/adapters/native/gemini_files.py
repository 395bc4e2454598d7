"""Gemini's files, for its OpenAI-compatible batches: they go through the Files API that lies beside it.

Facts: google-genai 3.4.0, `files.py` and `_api_client.py` (resumable upload, `:download?alt=media`); Gemini's page
"OpenAI compatibility": files for batches go up and come down with the Gemini client.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Mapping
from urllib.parse import urljoin, urlsplit

from batchrouter.adapters.native.body import file_name, plain
from batchrouter.adapters.native.caller import Caller
from batchrouter.adapters.native.files import file_of, part, ready
from batchrouter.errors import NativeUnknown
from batchrouter.ports.native import JobDraft

_TYPE = "application/jsonl"


class GeminiFiles:
    """`caller` is at the version's root (…/v1beta) and has `key_headers`. Ids are `files/…`; the name of a file is its
    display name."""

    tags = False

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._upload_url = urljoin(caller.base, f"/upload{urlsplit(caller.base).path}/files")

    async def upload(self, draft: JobDraft, lines: AsyncIterable[bytes]) -> str:
        caller, what, body = self._caller, f"{self._caller.host}: the upload of {draft.tag}", plain(draft, lines)
        begin = {
            "x-goog-upload-protocol": "resumable",
            "x-goog-upload-command": "start",
            "x-goog-upload-header-content-length": str(body.size),
            "x-goog-upload-header-content-type": _TYPE,
        }
        meta = {"file": {"display_name": file_name(draft), "mime_type": _TYPE, "size_bytes": body.size}}
        place = await caller.ask("POST", self._upload_url, what, json=meta, headers=begin)
        address = place.headers.get("x-goog-upload-url")
        if not address:
            raise NativeUnknown(f"{what} was answered without an address to send it to", sent=False)
        send = {"x-goog-upload-command": "upload, finalize", "x-goog-upload-offset": "0"}
        # The address itself is the permission.
        reply = await caller.upload("POST", urljoin(caller.base, address), what, body, send, known=False)
        file = file_of(reply.json(what), what)
        await ready(caller, file, f"/{part(file.id)}")
        return file.id

    async def name(self, file_id: str) -> str | None:
        what = f"{self._caller.host}: the file {file_id}"
        return file_of((await self._caller.ask("GET", f"/{part(file_id)}", what)).json(what), what).name

    def lines(self, file_id: str) -> AsyncGenerator[bytes, None]:
        return self._caller.lines(f"/{part(file_id)}:download?alt=media", f"{self._caller.host}: the results")

    async def delete(self, file_id: str) -> None:
        await self._caller.ask("DELETE", f"/{part(file_id)}", f"{self._caller.host}: deleting a file")

    async def aclose(self) -> None:
        await self._caller.aclose()


def key_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The key as the Files API wants it: it knows none in `authorization`, where the compatible face has it."""
    known = {name.lower(): value for name, value in headers.items()}
    scheme, _, key = known.pop("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and key:
        known.setdefault("x-goog-api-key", key)
    return known
