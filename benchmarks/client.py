"""The few calls of the Files and Batch API that a measurement makes, on one keep-alive connection."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.bench import Wrong

BOUNDARY = "----bench-4f1c9a7d"
TERMINAL = ("completed", "failed", "expired", "cancelled")
Batch = dict[str, Any]


@dataclass(slots=True)
class Client:
    """Speaks to one server; every reply that is not 200 ends the measurement."""

    port: int
    key: str
    connection: http.client.HTTPConnection | None = None

    def healthy(self) -> bool:
        """Whether it would serve a request now."""
        probe = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            probe.request("GET", "/readyz")
            return probe.getresponse().status == 200
        except OSError:
            return False
        finally:
            probe.close()

    def upload(self, path: Path) -> str:
        """Stream the file as a multipart form; the id of the file."""
        before = (
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{path.name}"\r\n'
            "Content-Type: application/jsonl\r\n\r\n"
        ).encode()
        after = f"\r\n--{BOUNDARY}--\r\n".encode()
        wire = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300, blocksize=1 << 20)
        wire.putrequest("POST", "/v1/files")
        wire.putheader("Authorization", f"Bearer {self.key}")
        wire.putheader("Content-Type", f"multipart/form-data; boundary={BOUNDARY}")
        wire.putheader("Content-Length", str(len(before) + path.stat().st_size + len(after)))
        wire.endheaders(before)
        with open(path, "rb") as body:
            wire.send(body)
        wire.send(after)
        file: dict[str, Any] = json.loads(accepted(wire.getresponse()))
        wire.close()
        return str(file["id"])

    def create(self, file_id: str) -> Batch:
        order = {"input_file_id": file_id, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
        return self.call("POST", "/v1/batches", json.dumps(order).encode())

    def retrieve(self, batch_id: str) -> Batch:
        return self.call("GET", f"/v1/batches/{batch_id}")

    def cancel(self, batch_id: str) -> Batch:
        return self.call("POST", f"/v1/batches/{batch_id}/cancel", b"")

    def download(self, file_id: str) -> int:
        """Read a file to its end; its bytes."""
        wire = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        wire.request("GET", f"/v1/files/{file_id}/content", headers={"Authorization": f"Bearer {self.key}"})
        reply = wire.getresponse()
        size = 0
        while chunk := reply.read(1 << 20):
            size += len(chunk)
        wire.close()
        return size

    def wait(self, batch_id: str, until: Callable[[Batch], bool], *, poll_s: float, seconds_max: float = 600) -> Batch:
        """Poll at this distance until `until` holds; a terminal state that it does not want ends the measurement."""
        end = time.monotonic() + seconds_max
        while time.monotonic() < end:
            batch = self.retrieve(batch_id)
            if until(batch):
                return batch
            if batch["status"] in TERMINAL:
                raise Wrong(f"the batch ended {batch['status']}: {batch['errors']}, {batch['request_counts']}")
            time.sleep(poll_s)
        raise Wrong(f"the batch is still {batch['status']} after {seconds_max:.0f} s: {batch['request_counts']}")

    def call(self, method: str, path: str, body: bytes | None = None) -> Batch:
        if self.connection is None:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        self.connection.request(method, path, body, headers)
        reply: Batch = json.loads(accepted(self.connection.getresponse()))
        return reply


def accepted(reply: http.client.HTTPResponse) -> bytes:
    body = reply.read()
    if reply.status != 200:
        raise Wrong(f"the server answered {reply.status}: {body[:300]!r}")
    return body


def done(batch: Batch) -> bool:
    """Completed, and every line answered."""
    if batch["status"] != "completed":
        return False
    counts = batch["request_counts"]
    if counts["failed"] or counts["completed"] != counts["total"]:
        raise Wrong(f"not every line was answered: {counts}")
    return True
