"""OpenAI's Files API, as far as batches need it; Azure, Groq and Mistral took it over.

Facts: OpenAI's OpenAPI document and its client; Mistral's client for the members of its files.
"""

from __future__ import annotations

import uuid

from batchrouter.simulator.native.bench import Bench
from batchrouter.simulator.native.calls import Call, downloaded, told
from batchrouter.simulator.native.dialects import DAY_S, Dialect
from batchrouter.simulator.native.form import FormPart, parts_of
from batchrouter.simulator.native.lines import is_jsonl
from batchrouter.simulator.native.refusal import Refused
from batchrouter.simulator.native.shelf import StoredFile
from batchrouter.simulator.reply import Reply

PURPOSES = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")
KEPT_S = 30 * DAY_S
EXPIRY_S = (3_600, 2_592_000)


class OpenAIFiles:
    """The calls under `/files`."""

    def __init__(self, bench: Bench, dialect: Dialect) -> None:
        self._bench = bench
        self._shelf = bench.shelf
        self._dialect = dialect

    def handle(self, call: Call) -> Reply:
        match call.method, call.path.split("/")[2:]:
            case "POST", []:
                return self._bench.uploaded(told(self._told(self._upload(call))))
            case "GET", []:
                return self._list(call)
            case "GET", [file_id]:
                return told(self._told(self._found(call, file_id)))
            case "GET", [file_id, "content"]:
                return downloaded(self._found(call, file_id).content)
            case "DELETE", [file_id]:
                self._shelf.remove(self._found(call, file_id).id)
                return told({"id": file_id, "object": "file", "deleted": True})
            case _:
                raise Refused(404, f"Invalid URL ({call.method} {call.path}).", code="unknown_url")

    def _upload(self, call: Call) -> StoredFile:
        fields: dict[str, str] = {}
        file: FormPart | None = None
        for part in parts_of(call.content, call.header("content-type") or ""):
            if part.name == "file":
                file = part
            else:
                fields[part.name] = part.text()
        purpose = fields.get("purpose", "batch" if self._dialect.name == "mistral" else None)
        for name, given in (("file", file), ("purpose", purpose)):
            if given is None:
                message = f"Missing required parameter: '{name}'."
                raise Refused(400, message, code="missing_required_parameter", param=name)
        assert file is not None
        assert purpose is not None
        if purpose not in PURPOSES:
            raise Refused(400, f"Invalid value for purpose: '{purpose}'.", code="invalid_value", param="purpose")
        if purpose == "batch" and not is_jsonl(file.content):
            raise Refused(400, "Invalid file format for Batch API. Must be .jsonl")
        name = f"file-{uuid.uuid4().hex[:24]}" if self._dialect.name != "mistral" else str(uuid.uuid4())
        expires_s = self._expires_s(fields, purpose)
        stored = StoredFile(
            id=name,
            filename=file.filename or "upload",
            purpose=purpose,
            created_unix=call.now_unix,
            content=file.content,
            expires_unix=None if expires_s is None else call.now_unix + expires_s,
        )
        return self._shelf.add(stored)

    def _expires_s(self, fields: dict[str, str], purpose: str) -> int | None:
        seconds = fields.get("expires_after[seconds]")
        if seconds is None:
            return KEPT_S if purpose == "batch" else None
        least, most = EXPIRY_S
        if not (seconds.isascii() and seconds.isdecimal() and least <= int(seconds) <= most):
            message = f"Invalid value for 'expires_after.seconds': expected an integer from {least} to {most}."
            raise Refused(400, message, code="invalid_value", param="expires_after.seconds")
        return int(seconds)

    def _list(self, call: Call) -> Reply:
        if self._dialect.name == "mistral":
            return self._list_mistral(call)
        limit = call.number("limit", 10_000, 1, 10_000)
        purpose = call.asked("purpose")
        files = [file for file in self._shelf.newest_first(call.now_unix) if purpose in (None, file.purpose)]
        if call.asked("order") == "asc":
            files.reverse()
        return told(page_of([self._told(file) for file in files], call.asked("after"), limit))

    def _list_mistral(self, call: Call) -> Reply:
        size = call.number("page_size", 100, 1, 1_000)
        start = call.number("page", 0, 0, 1_000_000) * size
        files = [self._told(file) for file in self._shelf.newest_first(call.now_unix)]
        return told({"object": "list", "data": files[start : start + size], "total": len(files)})

    def _found(self, call: Call, file_id: str) -> StoredFile:
        file = self._shelf.get(file_id, call.now_unix)
        if file is None:
            raise Refused(404, f"No such File object: {file_id}", param="id")
        return file

    def _told(self, file: StoredFile) -> dict[str, object]:
        value: dict[str, object] = {
            "id": file.id,
            "object": "file",
            "bytes": file.bytes,
            "created_at": int(file.created_unix),
            "filename": file.filename,
            "purpose": file.purpose,
        }
        if self._dialect.name == "mistral":
            kind = ("batch_result", "mistral") if file.made else ("batch_request", "upload")
            return value | {"purpose": "batch", "sample_type": kind[0], "source": kind[1], "deleted": False}
        expires = None if file.expires_unix is None else int(file.expires_unix)
        return value | {"expires_at": expires, "status": "processed", "status_details": None}


def page_of(values: list[dict[str, object]], after: str | None, limit: int) -> dict[str, object]:
    """One page of OpenAI's lists: what follows the object with the id `after`. Raises Refused for an unknown one."""
    start = 0
    if after is not None:
        places = [place for place, value in enumerate(values) if value["id"] == after]
        if not places:
            raise Refused(400, f"No object found with id '{after}'.", code="invalid_value", param="after")
        start = places[0] + 1
    page = values[start : start + limit]
    return {
        "object": "list",
        "data": page,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
        "has_more": start + limit < len(values),
    }
