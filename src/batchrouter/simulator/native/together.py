"""Together's files and batches: an upload in three steps, words in capitals, times as text, progress as a number.

Facts: Together's own client (upload: a form without the file, 302, PUT, preprocess) and its documentation.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from batchrouter.simulator.jobs import ENDED, Phase
from batchrouter.simulator.native.bench import Bench
from batchrouter.simulator.native.calls import Call, downloaded, of_kind, told, wanted
from batchrouter.simulator.native.dialects import DAY_S, Dialect
from batchrouter.simulator.native.form import parts_of
from batchrouter.simulator.native.lines import is_jsonl
from batchrouter.simulator.native.openai_files import KEPT_S
from batchrouter.simulator.native.refusal import Refused
from batchrouter.simulator.native.run import Order, Run
from batchrouter.simulator.native.shelf import StoredFile
from batchrouter.simulator.reply import Reply

STORE = "/together-store/files/"
"""Where files are put; a place of its own, as the provider's bucket is, that takes no key."""

STATUSES = {
    Phase.VALIDATING: "VALIDATING",
    Phase.IN_PROGRESS: "IN_PROGRESS",
    Phase.FINALIZING: "IN_PROGRESS",
    Phase.COMPLETED: "COMPLETED",
    Phase.FAILED: "FAILED",
    Phase.EXPIRED: "EXPIRED",
    Phase.CANCELLING: "IN_PROGRESS",
    Phase.CANCELLED: "CANCELLED",
}


class TogetherFiles:
    """The calls under `/files`, and the store."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def handle(self, call: Call) -> Reply:
        match call.method, call.path.split("/")[2:]:
            case "POST", []:
                return self._begin(call)
            case "POST", [file_id, "preprocess"]:
                return told(self._preprocess(call, file_id))
            case "GET", []:
                return told({"data": [_told(file) for file in self._bench.shelf.newest_first(call.now_unix)]})
            case "GET", [file_id]:
                return told(_told(self._found(call, file_id)))
            case "GET", [file_id, "content"]:
                return downloaded(self._found(call, file_id).content)
            case "DELETE", [file_id]:
                self._bench.shelf.remove(self._found(call, file_id).id)
                return told({"id": file_id, "deleted": True})
            case _:
                raise Refused(404, f"Invalid URL ({call.method} {call.path}).", code="unknown_url")

    def put(self, call: Call) -> Reply:
        """Step two. A presigned address carries its own permission and is refused with another one beside it."""
        file = self._bench.shelf.get(call.path.removeprefix(STORE), call.now_unix)
        if file is None or call.method != "PUT":
            raise Refused(404, "There is nothing to be put here.")
        if call.header("authorization") is not None:
            raise Refused(400, "Only one way of authentication is allowed: leave the Authorization header out.")
        file.content = call.content
        return self._bench.uploaded(Reply(200, b"", "text/plain"))

    def _begin(self, call: Call) -> Reply:
        """Step one: name the file and be told where to put it."""
        fields = self._fields(call)
        for name in ("purpose", "file_name", "file_type"):
            if not fields.get(name):
                message = f"Missing required parameter: '{name}'."
                raise Refused(400, message, code="missing_required_parameter", param=name)
        file = StoredFile(
            id=f"file-{uuid.uuid4()}",
            filename=fields["file_name"],
            purpose=fields["purpose"],
            created_unix=call.now_unix,
            ready=False,
        )
        self._bench.shelf.add(file)
        place = f"{call.base}{STORE}{file.id}?X-Amz-Expires=3600&X-Amz-Signature={uuid.uuid4().hex}"
        return Reply(302, b"", "text/plain", headers=[("location", place), ("x-together-file-id", file.id)])

    def _fields(self, call: Call) -> dict[str, str]:
        """The fields of the form, in whichever of the two encodings, or of the query."""
        kind = (call.header("content-type") or "").lower()
        if kind.startswith("multipart/") and call.content.length:
            parts = parts_of(call.content, call.header("content-type") or "")
            if any(part.filename is not None for part in parts):
                raise Refused(400, "The file itself does not belong here: put it where the reply says.", param="file")
            return {part.name: part.text() for part in parts}
        body = call.content.read(0, 65_536).decode("utf-8", "replace")
        return dict(parse_qsl(call.request.query) + parse_qsl(body))

    def _preprocess(self, call: Call, file_id: str) -> dict[str, object]:
        """Step three: the file is looked at and ready from then on."""
        file = self._bench.shelf.get(file_id, call.now_unix)
        if file is None or file.content is None:
            raise Refused(404, f"There are no bytes of a file {file_id}.", param="id")
        if not is_jsonl(file.content):
            raise Refused(400, "The file is no JSONL.", code="invalid_file_format")
        file.ready = True
        file.lines = sum(piece.count(b"\n") for piece in file.content.pieces())
        file.lines += file.content.read(file.content.length - 1) != b"\n"
        return _told(file)

    def _found(self, call: Call, file_id: str) -> StoredFile:
        file = self._bench.shelf.get(file_id, call.now_unix)
        if file is None or file.content is None:
            raise Refused(404, f"There is no file {file_id}.", param="id")
        return file


class TogetherBatches:
    """The calls under `/batches`. Jobs carry nothing of ours: they are known by their input file."""

    def __init__(self, bench: Bench, dialect: Dialect) -> None:
        self._bench = bench
        self._dialect = dialect

    def handle(self, call: Call) -> Reply:
        match call.method, call.path.split("/")[2:]:
            case "POST", []:
                order = self._order(call, call.json())
                return self._bench.created(
                    self._dialect, order, lambda run: told({"job": self._told(run, call.now_s), "warning": ""}, 201)
                )
            case "GET", []:
                return told([self._told(run, call.now_s) for run in self._bench.listed(self._dialect, call.now_s)])
            case "GET", [job_id]:
                return told(self._told(self._found(job_id), call.now_s))
            case "POST", [job_id, "cancel"]:
                run = self._found(job_id)
                if not run.job.cancel(call.now_s) and run.phase(call.now_s) is not Phase.CANCELLED:
                    raise Refused(400, f"A batch that is {STATUSES[run.phase(call.now_s)]} cannot be cancelled.")
                run.poke()
                return told(self._told(run, call.now_s))
            case _:
                raise Refused(404, f"Invalid URL ({call.method} {call.path}).", code="unknown_url")

    def _order(self, call: Call, body: dict[str, Any]) -> Order:
        file_id: str = wanted(body, "input_file_id", str)
        endpoint: str = wanted(body, "endpoint", str)
        window = of_kind(body.get("completion_window", "24h"), "completion_window", str)
        if endpoint not in self._dialect.endpoints:
            raise Refused(400, f"'{endpoint}' is no endpoint of batches.", code="invalid_value", param="endpoint")
        if window != "24h":
            message = "The window is 24h and cannot be changed."
            raise Refused(400, message, code="invalid_value", param="completion_window")
        file = self._bench.shelf.get(file_id, call.now_unix)
        if file is None or not file.ready or file.purpose != self._dialect.purpose:
            message = f"There is no file {file_id} that was preprocessed with the purpose '{self._dialect.purpose}'."
            raise Refused(400, message, code="invalid_value", param="input_file_id")
        return Order(
            id=str(uuid.uuid4()),
            endpoint=endpoint,
            model="",
            input_file_id=file_id,
            content=file.content,
            window_s=DAY_S,
            window=window,
            results_s=KEPT_S,
        )

    def _found(self, job_id: str) -> Run:
        run = self._bench.found(self._dialect, job_id)
        if run is None:
            raise Refused(404, f"There is no batch {job_id}.")
        return run

    def _told(self, run: Run, now_s: float) -> dict[str, object]:
        phase, job = run.phase(now_s), run.job
        ended = job.ended_s() if phase in ENDED else None
        done, total = run.completed + run.failed, job.total
        return {
            "id": run.id,
            "user_id": "simulated",
            "input_file_id": run.order.input_file_id,
            "file_size_bytes": run.order.content.length if run.order.content is not None else 0,
            "status": STATUSES[phase],
            "job_deadline": _iso(run.created_unix + run.order.window_s),
            "created_at": _iso(run.created_unix),
            "endpoint": run.path,
            "progress": round(100 * done / total, 2) if total else 0,
            "model_id": run.model,
            "output_file_id": run.output_file_id,
            "error_file_id": run.error_file_id,
            "error": "; ".join(error.message or error.code for error in job.failure()) if phase is Phase.FAILED else "",
            "completed_at": None if ended is None else _iso(run.unix(ended) or 0),
        }


def _told(file: StoredFile) -> dict[str, object]:
    return {
        "id": file.id,
        "object": "file",
        "created_at": int(file.created_unix),
        "type": "jsonl",
        "purpose": file.purpose,
        "filename": file.filename,
        "bytes": file.bytes,
        "line_count": file.lines or 0,
        "processed": file.ready,
        "FileType": "jsonl",
    }


def _iso(unix: float) -> str:
    return datetime.fromtimestamp(unix, UTC).isoformat().replace("+00:00", "Z")
