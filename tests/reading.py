"""Reading a batch's lines as people do, from a server that runs, and the check that all ways to read them agree."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import requests

from tests.serving import KEY, ApiProgram


class LineReader:
    """Follows one batch in completion order; `told` are the bytes of the lines so far, `after` is where it goes on."""

    def __init__(self, batch_id: str, key: str = KEY) -> None:
        self.batch_id = batch_id
        self.told: list[bytes] = []
        self.after = ""
        self.final = False
        self._headers = {"Authorization": f"Bearer {key}", "Accept": "application/x-ndjson"}

    def step(self, server: ApiProgram, **query: Any) -> int:
        """One page; returns how many lines it had."""
        page = self._get(server, after=self.after, **query)
        lines = page.content.splitlines(keepends=True)
        self.told += lines
        self.after = page.headers["x-batchrouter-next"]
        status, more = page.headers["x-batchrouter-status"], page.headers["x-batchrouter-has-more"] == "true"
        self.final = not more and status in ("completed", "expired", "cancelled", "failed")
        return len(lines)

    def in_input_order(self, server: ApiProgram, **query: Any) -> bytes:
        """All that is finished."""
        found, after, more = b"", "", "true"
        while more == "true":
            page = self._get(server, order="input", after=after, **query)
            found += page.content
            after, more = page.headers["x-batchrouter-next"], page.headers["x-batchrouter-has-more"]
        return found

    def again(self, server: ApiProgram) -> list[bytes]:
        """All lines in completion order, from the beginning."""
        other = LineReader(self.batch_id)
        other._headers = self._headers
        while not other.final:
            other.step(server, limit=1000)
        return other.told

    def check(self, server: ApiProgram, output: bytes, error: bytes) -> None:
        """What was read along, what is read now in both orders, and the two files: line by line, byte by byte."""
        assert self.final
        assert self.again(server) == self.told
        assert Counter(self.told) == Counter((output + error).splitlines(keepends=True))
        assert self.in_input_order(server, outcome="succeeded", limit=1000) == output
        assert self.in_input_order(server, outcome="failed,expired,cancelled", limit=170) == error
        whole = self.in_input_order(server, limit=1000)
        assert Counter(whole.splitlines(keepends=True)) == Counter(self.told)

    def _get(self, server: ApiProgram, **query: Any) -> requests.Response:
        url = f"{server.base_url}/batches/{self.batch_id}/results"
        reply = requests.get(url, params={name: value for name, value in query.items() if value != ""},
                             headers=self._headers, timeout=90)  # fmt: skip
        assert reply.status_code == 200, reply.text
        return reply


def streamed(server: ApiProgram, batch_id: str, key: str = KEY, after: str | None = None) -> list[dict[str, Any]]:
    """The lines that a stream of events tells until it says that all are told."""
    headers = {"Authorization": f"Bearer {key}", "Accept": "text/event-stream"}
    if after is not None:
        headers["Last-Event-ID"] = after
    url = f"{server.base_url}/batches/{batch_id}/results"
    lines, event = [], ""
    with requests.get(url, headers=headers, stream=True, timeout=90) as reply:
        assert reply.status_code == 200, reply.text
        for raw in reply.iter_lines():
            name, _, value = raw.decode().partition(": ")
            if name == "event":
                event = value
            elif name == "data" and event == "line":
                lines.append(json.loads(value))
            elif name == "data" and event == "end":
                return lines
    raise AssertionError("the stream ended before all was told")
