"""The Gemini Files API: resumable and multipart uploads, and downloads of what jobs delivered.

Facts: Google's own client, and its REST documentation.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct

from batchrouter.simulator.native.bench import Bench
from batchrouter.simulator.native.calls import Call, downloaded, told
from batchrouter.simulator.native.dialects import DAY_S
from batchrouter.simulator.native.form import parts_of
from batchrouter.simulator.native.refusal import Refused
from batchrouter.simulator.native.shelf import StoredFile
from batchrouter.simulator.reply import Reply
from batchrouter.simulator.spool import Part, Spool

KEPT_S = 2 * DAY_S
NAME_MAX = 40
SESSIONS_MAX = 1_000
GRANULARITY = 262_144
DOWNLOAD = ":download"


class Session(Struct):
    """A resumable upload under way."""

    told: dict[str, Any]
    mime_type: str
    spool: Spool


class GeminiFiles:
    """`path` of a call: `/upload/files`, `/files`, `/files/{id}`, `/files/{id}:download`."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._sessions: dict[str, Session] = {}

    def handle(self, call: Call) -> Reply:
        if call.path == "/upload/files":
            return self._upload(call)
        match call.method, call.path.split("/")[2:]:
            case "GET", []:
                return self._list(call)
            case "GET", [name] if name.endswith(DOWNLOAD):
                return self._download(call, name.removesuffix(DOWNLOAD))
            case "GET", [name]:
                if len(name) > NAME_MAX:  # so that a result file can be downloaded, but not looked at
                    raise Refused(400, f"A file's id (its name without 'files/') has at most {NAME_MAX} characters.")
                return told(_told(self._found(call, name), call.base))
            case "DELETE", [name]:
                self._bench.shelf.remove(self._found(call, name).id)
                return told({})
            case _:
                raise Refused(404, "There is no such method.")

    def clear(self) -> None:
        self._sessions.clear()

    # --- uploads ----------------------------------------------------------------------------------------------------

    def _upload(self, call: Call) -> Reply:
        if call.method != "POST":
            raise Refused(404, "There is no such method.")
        upload_id = call.asked("upload_id")
        if upload_id is not None:
            return self._resume(call, upload_id)
        protocol = call.header("x-goog-upload-protocol") or call.asked("uploadType") or "multipart"
        match protocol:
            case "resumable":
                return self._start(call)
            case "multipart":
                return self._multipart(call)
            case _:
                raise Refused(400, f"The simulator does not know the upload protocol '{protocol}'.")

    def _start(self, call: Call) -> Reply:
        if (call.header("x-goog-upload-command") or "start") != "start":
            raise Refused(400, "A resumable upload begins with the command 'start'.")
        if len(self._sessions) >= SESSIONS_MAX:
            del self._sessions[next(iter(self._sessions))]
        upload_id = uuid.uuid4().hex
        mime_type = call.header("x-goog-upload-header-content-type") or ""
        self._sessions[upload_id] = Session(_file_of(call.json()), mime_type, Spool())
        place = f"{call.base}{call.request.path}?upload_id={upload_id}&upload_protocol=resumable"
        headers = (
            ("x-goog-upload-url", place),
            ("x-goog-upload-status", "active"),
            ("x-goog-upload-chunk-granularity", str(GRANULARITY)),
        )
        return told({}, headers=headers)

    def _resume(self, call: Call, upload_id: str) -> Reply:
        session = self._sessions.get(upload_id)
        if session is None:
            raise Refused(404, "There is no such upload.")
        commands = {word.strip() for word in (call.header("x-goog-upload-command") or "").split(",")}
        received = len(session.spool)
        if "query" in commands:
            headers = (("x-goog-upload-status", "active"), ("x-goog-upload-size-received", str(received)))
            return told({}, headers=headers)
        if "cancel" in commands:
            del self._sessions[upload_id]
            return told({}, headers=(("x-goog-upload-status", "cancelled"),))
        if "upload" in commands:
            if call.header("x-goog-upload-offset") != str(received):
                raise Refused(400, f"The upload goes on at {received} bytes.")
            for piece in call.content.pieces():
                session.spool.write(piece)
        if "finalize" not in commands:
            return told({}, headers=(("x-goog-upload-status", "active"),))
        del self._sessions[upload_id]
        return self._stored(call, session.told, session.mime_type, Part(session.spool))

    def _multipart(self, call: Call) -> Reply:
        parts = parts_of(call.content, call.header("content-type") or "")
        if len(parts) != 2:
            raise Refused(400, "A multipart upload has two parts: what is told of the file, and the file.")
        try:
            value = msgspec.json.decode(parts[0].text())
        except msgspec.DecodeError:
            raise Refused(400, "The first part of the upload is not valid JSON.") from None
        return self._stored(call, _file_of(value), parts[1].content_type, parts[1].content)

    def _stored(self, call: Call, value: dict[str, Any], mime_type: str, content: Part) -> Reply:
        name = value.get("name") or f"files/{uuid.uuid4().hex[:12]}"
        if self._bench.shelf.get(name, call.now_unix) is not None:
            raise Refused(409, f"There is a file {name} already.")
        file = StoredFile(
            id=name,
            filename=value.get("displayName") or value.get("display_name") or "",
            purpose="batch",
            created_unix=call.now_unix,
            content=content,
            expires_unix=call.now_unix + KEPT_S,
            mime_type=mime_type or value.get("mimeType") or value.get("mime_type") or "application/octet-stream",
        )
        self._bench.shelf.add(file)
        reply = told({"file": _told(file, call.base)}, headers=(("x-goog-upload-status", "final"),))
        return self._bench.uploaded(reply)

    # --- what is there ----------------------------------------------------------------------------------------------

    def _list(self, call: Call) -> Reply:
        size = call.number("pageSize", 10, 1, 100)
        start = call.number("pageToken", 0, 0, 1_000_000_000)
        files = [file for file in self._bench.shelf.newest_first(call.now_unix) if not file.made]
        page: dict[str, object] = {"files": [_told(file, call.base) for file in files[start : start + size]]}
        return told(page | ({"nextPageToken": str(start + size)} if start + size < len(files) else {}))

    def _download(self, call: Call, name: str) -> Reply:
        file = self._found(call, name)
        if not file.made:
            raise Refused(400, "Only generated files can be downloaded.", code="FAILED_PRECONDITION")
        if call.asked("alt") != "media":
            raise Refused(400, "A download wants alt=media.")
        return downloaded(file.content)

    def _found(self, call: Call, name: str) -> StoredFile:
        file = self._bench.shelf.get(f"files/{name}", call.now_unix)
        if file is None:  # so told of files that are not one's own, too
            raise Refused(403, f"You have no access to the file {name}, or it does not exist.")
        return file


def _file_of(value: Any) -> dict[str, Any]:
    file = value.get("file", {}) if isinstance(value, dict) else None
    if not isinstance(file, dict):
        raise Refused(400, "The member 'file' is no object.")
    return file


def _told(file: StoredFile, base: str) -> dict[str, object]:
    uri = f"{base}/v1beta/{file.id}"
    value: dict[str, object] = {
        "name": file.id,
        "displayName": file.filename,
        "mimeType": file.mime_type,
        "sizeBytes": str(file.bytes),
        "createTime": _iso(file.created_unix),
        "updateTime": _iso(file.created_unix),
        "uri": uri,
        "state": "ACTIVE",
        "source": "GENERATED" if file.made else "UPLOADED",
    }
    if file.expires_unix is not None:
        value["expirationTime"] = _iso(file.expires_unix)
    return value | ({"downloadUri": f"{uri}{DOWNLOAD}?alt=media"} if file.made else {})


def _iso(unix: float) -> str:
    return datetime.fromtimestamp(unix, UTC).isoformat().replace("+00:00", "Z")
