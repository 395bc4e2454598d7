"""The request log: what reached the simulator, in order of arrival, and what became of it.

Bounded in memory; written to a file too when one is named, one JSON line for each request as soon as it has ended.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import msgspec

WAITING = "waiting"
SENT = "sent"
BROKEN = "broken"
CLIENT_CLOSED = "client_closed"
NATIVE = "native"


class Entry(msgspec.Struct, gc=False, omit_defaults=True):
    """One request. `ms` and `sent_ms` are milliseconds since the log began.

    `end` is `waiting` (no reply yet), `sent` (the reply was handed to the socket), `broken` (a fault cut it short),
    `client_closed` (the client went before its reply) or `native` (a line of the batch `job` was run; no connection
    has a part in it). `status` is 0 while no status line was sent. `headers` and `text`, the body, are there only when
    the simulator was told to keep them.
    """

    n: int
    ms: float
    connection: int
    request: int
    path: str
    model: str
    status: int
    key: str
    prompt_tokens: int
    completion_tokens: int
    in_flight: int
    end: str
    sent_ms: float | None = None
    fault: str = ""
    headers: dict[str, str] | None = None
    text: str | None = None
    job: str = ""
    custom_id: str = ""


_encode = msgspec.json.Encoder().encode


class RequestLog:
    """Entries with their sums. `begun_s` is the loop's time of the first millisecond."""

    def __init__(self, limit: int, begun_s: float) -> None:
        self.begun_s = begun_s
        self.requests = 0
        self.in_flight_max = 0
        self._entries: deque[Entry] = deque(maxlen=limit)
        self._by_path: dict[str, dict[int, int]] = {}
        self._ends: dict[str, int] = {}
        self._prompt_tokens = 0
        self._completion_tokens = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries)

    def since(self, n: int) -> list[Entry]:
        """The entries after number `n` that are still kept, oldest first."""
        if not self._entries:
            return []
        return list(itertools.islice(self._entries, max(0, n + 1 - self._entries[0].n), None))

    def jsonl(self, since: int = 0) -> bytes:
        return b"".join([_encode(entry) + b"\n" for entry in self.since(since)])

    def add(self, entry: Entry) -> None:
        self._entries.append(entry)
        if entry.in_flight > self.in_flight_max:
            self.in_flight_max = entry.in_flight

    def ran(
        self,
        job: str,
        custom_id: str,
        path: str,
        key: str,
        model: str,
        status: int,
        now_s: float,
        *,
        prompt_tokens: int = 0,
        completion_tokens: int = 0,
        text: str | None = None,
    ) -> Entry:
        """Enter a line that a batch ran by itself, with the status that its result carries."""
        self.requests += 1
        ms = round((now_s - self.begun_s) * 1000, 3)
        entry = Entry(
            n=self.requests,
            ms=ms,
            connection=0,
            request=0,
            path=path,
            model=model,
            status=status,
            key=key,
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            in_flight=0,
            end=NATIVE,
            sent_ms=ms,
            text=text,
            job=job,
            custom_id=custom_id,
        )
        self.add(entry)
        self._ends[NATIVE] = self._ends.get(NATIVE, 0) + 1
        return entry

    def end(self, entry: Entry, end: str, status: int, now_s: float) -> None:
        """Tokens are summed over what was sent whole with status 200."""
        entry.end, entry.status = end, status
        entry.sent_ms = round((now_s - self.begun_s) * 1000, 3)
        if status:
            by_status = self._by_path.setdefault(entry.path, {})
            by_status[status] = by_status.get(status, 0) + 1
        self._ends[end] = self._ends.get(end, 0) + 1
        if status == 200 and end == SENT:
            self._prompt_tokens += entry.prompt_tokens
            self._completion_tokens += entry.completion_tokens

    def stats(self) -> dict[str, object]:
        return {
            "requests": self.requests,
            "by_path": {path: dict(statuses) for path, statuses in self._by_path.items()},
            "by_end": dict(self._ends),
            "in_flight_max": self.in_flight_max,
            "prompt_tokens": self._prompt_tokens,
            "completion_tokens": self._completion_tokens,
            "total_tokens": self._prompt_tokens + self._completion_tokens,
        }


class LogFile:
    """Appends entries to a file. `write` puts all that was noted since into it with one call."""

    def __init__(self, path: str | Path) -> None:
        self._file = open(path, "ab", buffering=0)  # noqa: SIM115 - lives as long as the server
        self._lines: list[bytes] = []

    def note(self, entry: Entry) -> bool:
        """True when this is the first line since the last `write`."""
        self._lines.append(_encode(entry) + b"\n")
        return len(self._lines) == 1

    def write(self) -> None:
        if self._lines:
            self._file.write(b"".join(self._lines))
            self._lines.clear()

    def close(self) -> None:
        self.write()
        self._file.close()
