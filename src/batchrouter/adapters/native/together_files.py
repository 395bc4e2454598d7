"""Together's files: the bytes go to a presigned address of its object store, which must not learn the key.

Facts: together-python 3.1.1, `lib/resources/files.py`, and 1.x, `filemanager.py`: a form without the file is answered
with 302, `Location` and `X-Together-File-Id`; the bytes are PUT there; `preprocess` makes them a file.
"""

from __future__ import annotations

from collections.abc import AsyncIterable
from urllib.parse import urljoin

from batchrouter.adapters.native.body import bare_form, file_name, plain
from batchrouter.adapters.native.files import OpenAIFiles, part
from batchrouter.errors import NativeUnknown
from batchrouter.ports.native import JobDraft


class TogetherFiles(OpenAIFiles):
    """Jobs take no metadata there. A file's content may be redirected to the object store; `Caller.lines` follows."""

    tags = False

    async def upload(self, draft: JobDraft, lines: AsyncIterable[bytes]) -> str:
        caller, what = self._caller, f"{self._caller.host}: the upload of {draft.tag}"
        fields = {"purpose": self._purpose, "file_name": file_name(draft), "file_type": "jsonl"}
        place = await caller.ask("POST", "/files", what, content=bare_form(fields), takes=(302,))
        address, file_id = place.headers.get("location"), place.headers.get("x-together-file-id")
        if not address or not file_id:
            raise NativeUnknown(f"{what} was answered without an address to send it to", sent=False)
        await caller.upload("PUT", urljoin(caller.base, address), what, plain(draft, lines), {}, known=False)
        await caller.ask("POST", f"/files/{part(file_id)}/preprocess", what)
        return file_id
