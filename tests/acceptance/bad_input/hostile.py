"""A provider whose real-time calls are sound and whose batch API is not: each model's jobs go wrong in their own way.

It speaks OpenAI's dialect and Anthropic's, in threads, on a port of its own, and remembers when it was asked what.
"""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from batchrouter.simulator import answer

SECRET: Final = "words-that-stand-in-no-log"
"""In every error of the provider, beside its codes."""
HUGE: Final = 60_000_000
LISTS: Final = ("/v1/batches", "/v1/messages/batches")


@dataclass
class Filed:
    """A job: `lines` are (key, body); `path` is where it was made."""

    id: str
    way: str
    path: str
    lines: list[tuple[str, bytes]]
    tag: str | None
    looks: int = 0
    cancelled: bool = False

    @property
    def native(self) -> bool:
        return self.path == LISTS[1]


@dataclass
class Hostile:
    """`asked` holds (seconds, way of the job or "", what) for each call about jobs; `called` counts real-time calls by
    the question that they asked."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    jobs: dict[str, Filed] = field(default_factory=dict)
    asked: list[tuple[float, str, str]] = field(default_factory=list)
    called: dict[str, int] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    over: threading.Event = field(default_factory=threading.Event)

    def way_of(self, body: bytes) -> str:
        found = re.search(rb'"model": ?"([a-z0-9-]+)"', body)
        return "" if found is None else found[1].decode()

    def make(self, path: str, lines: list[tuple[str, bytes]], tag: str | None) -> Filed:
        with self.lock:
            way = self.way_of(lines[0][1]) if lines else ""
            made = Filed(f"job_{len(self.jobs)}", way, path, lines, tag)
            self.jobs[made.id] = made
        return made

    def note(self, way: str, what: str) -> None:
        with self.lock:
            self.asked.append((time.monotonic(), way, what))


def result(job: Filed, key: object, body: bytes, **change: Any) -> bytes:
    """A sound line of results, but for `change`."""
    path = "/v1/messages" if job.native else "/v1/chat/completions"
    reply = json.loads(answer(path, body))
    if job.native:
        line: dict[str, Any] = {"custom_id": key, "result": {"type": "succeeded", "message": reply}}
    else:
        line = {"custom_id": key, "response": {"status_code": 200, "request_id": "r", "body": reply}, "error": None}
    return json.dumps({**line, **change}).encode()


def results(job: Filed) -> Iterator[bytes]:
    """What the download brings, in pieces; sound at its end wherever the way of the job does not say otherwise."""
    lines = [result(job, key, body) for key, body in job.lines]
    match job.way:
        case "rubbish":
            yield b"\n\r\n{\nnull\n[]\n\xff\xfe\n" + b"[" * 100_000 + b"\n"
            yield b'{"custom_id": "' + b"x" * HUGE + b'"}\n'
            tag = job.lines[0][0].rpartition("-")[0]
            strange = [f"{tag}-999999", f"{tag}--1", "r1", "", None, 7, f"job_{'0' * 24}-0"]
            yield b"\n".join(result(job, key, job.lines[0][1]) for key in strange) + b"\n"
        case "twice":
            lines = [each for line in lines for each in (line, line)]
        case "missing":
            lines = []
        case "truncated":
            lines = lines[:3]
    yield b"\n".join(lines) + b"\n"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    house: Hostile

    def log_message(self, format: str, *arguments: object) -> None: ...

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"] or 0))
        path = self.path.partition("?")[0]
        if path in ("/v1/chat/completions", "/v1/messages"):
            self._call(path, body)
        elif path == "/v1/files":
            self._file(body)
        elif path in LISTS:
            self._create(path, body)
        elif path.endswith("/cancel"):
            self._cancel(path.split("/")[-2])
        else:
            self._error(404, "not_found")

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path in LISTS:
            self._list(path)
        elif path.startswith("/v1/files/"):
            self._results(path.split("/")[3].removeprefix("out-"))
        elif path.endswith("/results"):
            self._results(path.split("/")[-2])
        elif any(path.startswith(f"{each}/") for each in LISTS):
            self._look(path.rpartition("/")[2])
        else:
            self._error(404, "not_found")

    def do_DELETE(self) -> None:
        self._error(404, "not_found")

    # --- calls ------------------------------------------------------------------------------------------------------

    def _call(self, path: str, body: bytes) -> None:
        question = re.findall(rb"question ([a-z0-9-]+ \d+)", body)[-1].decode()
        with self.house.lock:
            self.house.called[question] = self.house.called.get(question, 0) + 1
        self._json(200, json.loads(answer(path, body)))

    def _file(self, body: bytes) -> None:
        found = re.search(rb"\r\n\r\n(\{.*\})\n\r\n--", body, re.DOTALL)
        assert found is not None
        with self.house.lock:
            file_id = f"file-{len(self.house.files)}"
            self.house.files[file_id] = found[1]
        self._json(200, {"id": file_id, "object": "file", "filename": "x", "status": "processed"})

    def _create(self, path: str, body: bytes) -> None:
        wish = json.loads(body)
        if path == LISTS[0]:
            lines = [json.loads(line) for line in self.house.files[wish["input_file_id"]].split(b"\n")]
            pairs = [(line["custom_id"], json.dumps(line["body"]).encode()) for line in lines]
        else:
            pairs = [(line["custom_id"], json.dumps(line["params"]).encode()) for line in wish["requests"]]
        job = self.house.make(path, pairs, (wish.get("metadata") or {}).get("batchrouter_job"))
        self.house.note(job.way, "create")
        match job.way:
            case "html":
                self._send(200, b"<html>" + SECRET.encode() + b"</html>", "text/html")
            case "moved":
                self._send(302, b"", "text/html", [("location", f"http://127.0.0.1:9/{SECRET}")])
            case "lost" | "unlisted":
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
            case "refused":
                self._error(400, f"a line said: {SECRET}")
            case _:
                self._json(200, self._object(job))

    def _list(self, path: str) -> None:
        self.house.note("", "list")
        jobs = [job for job in reversed(self.house.jobs.values()) if job.path == path and job.way != "unlisted"]
        self._json(200, {"data": [self._object(job) for job in jobs], "has_more": False, "last_id": None})

    def _look(self, job_id: str) -> None:
        job = self.house.jobs.get(job_id)
        if job is None:
            self._error(404, "not_found")
            return
        job.looks += 1
        self.house.note(job.way, "look")
        if job.way == "vanishes" and job.looks > 2:
            self._error(404, "not_found")
        elif job.way == "flickers" and job.looks % 2:
            self._error((500, 429, 502, 403)[job.looks // 2 % 4], "internal_error")
        else:
            self._json(200, self._object(job))

    def _cancel(self, job_id: str) -> None:
        job = self.house.jobs[job_id]
        self.house.note(job.way, "cancel")
        if job.way == "deaf":
            self._error(500, "internal_error")
            return
        job.cancelled = job.way != "ponders"
        self._json(200, self._object(job))

    def _results(self, name: str) -> None:
        job = self.house.jobs[name]
        self.house.note(job.way, "results")
        if job.way == "gone":
            self._error(404, "not_found")
            return
        size = 10**9 if job.way in ("truncated", "trickles") else sum(map(len, results(job)))
        self.send_response(200)
        self.send_header("content-type", "application/x-jsonlines")
        self.send_header("content-length", str(size))
        self.end_headers()
        try:
            for piece in results(job):
                self.wfile.write(piece if job.way != "trickles" else piece[:10])
            while job.way == "trickles" and not self.house.over.wait(0.2):
                self.wfile.write(b" ")
        except OSError:
            pass
        self.close_connection = job.way in ("truncated", "trickles")

    # --- objects ----------------------------------------------------------------------------------------------------

    def _object(self, job: Filed) -> dict[str, Any]:
        never = job.way in ("stalls", "deaf", "ponders", "vanishes")
        done = job.cancelled or (not never and job.looks > 1)
        count = len(job.lines)
        if job.way == "lies":
            count = 2**70
        if job.native:
            left = {"succeeded": count if done and not never else 0, "errored": 0, "canceled": 0, "expired": 0}
            word = "pondering" if job.way == "ponders" else "ended" if done else "in_progress"
            left["processing"] = 0 if done else count
            made = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            url = f"http://127.0.0.1:9/{SECRET}" if done else None
            return {
                "id": job.id,
                "processing_status": word,
                "created_at": made,
                "request_counts": left,
                "results_url": url,
            }
        word = "pondering" if job.way == "ponders" else "completed" if done else "in_progress"
        made_object: dict[str, Any] = {
            "id": job.id,
            "object": "batch",
            "status": "cancelled" if job.cancelled else word,
            "created_at": int(time.time()),
            "metadata": {"batchrouter_job": job.tag},
            "request_counts": {"total": count, "completed": count if done else 0, "failed": -5},
        }
        if (done and job.way != "stalls") or job.way == "early":
            made_object["output_file_id"] = f"out-{job.id}"
        if job.way == "rejected":
            failed = {"code": f"line 1 said {SECRET}", "message": SECRET, "line": 1}
            made_object |= {"status": "failed", "errors": {"data": [failed]}}
            made_object["request_counts"] = None
        return made_object

    def _error(self, status: int, code: str) -> None:
        self._json(status, {"error": {"message": SECRET, "type": "error", "code": code, "param": SECRET}})

    def _json(self, status: int, value: object) -> None:
        self._send(status, json.dumps(value).encode(), "application/json")

    def _send(self, status: int, body: bytes, kind: str, headers: list[tuple[str, str]] | None = None) -> None:
        self.send_response(status)
        for name, value in [("content-type", kind), ("content-length", str(len(body))), *(headers or [])]:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def running_hostile() -> Iterator[Hostile]:
    house = Hostile()
    handler = type("HandlerOfHouse", (Handler,), {"house": house})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    house.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, name="hostile")
    thread.start()
    try:
        yield house
    finally:
        house.over.set()
        server.shutdown()
        server.server_close()
        thread.join()
