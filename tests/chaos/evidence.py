"""What a run leaves behind, as plain values: what was asked, what came of it, what reached the upstream, and troubles.

All times are seconds of this process's monotonic clock.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tests.chaos.schedule import Kind
from tests.lines import Asked

MARKER = re.compile(r"q\d+x\d+x\d+")
POISON = "poison"
"""A line with this word is refused by the upstream, for good."""
FOREVER = "24h"
PATHS = ("/v1/chat/completions", "/v1/messages")


def marker_of(text: str) -> str:
    """Whose line it is, whatever wire its body was translated to; '' for a call that carries none or many."""
    found = set(MARKER.findall(text))
    return found.pop() if len(found) == 1 else ""


@dataclass(frozen=True, slots=True)
class Line:
    asked: Asked
    marker: str
    model: str
    poison: bool

    @property
    def translated(self) -> bool:
        return self.model.startswith("claude")


@dataclass(slots=True)
class Case:
    """One batch: what its tenant asked for, and what it got."""

    tenant: str
    number: int
    lines: list[Line]
    window: str
    batch_id: str = ""
    cancel_asked: bool = False
    batch: dict[str, Any] | None = None
    output: bytes = b""
    errors: bytes = b""


@dataclass(frozen=True, slots=True)
class Call:
    """One request that reached the upstream. `process` sent it; '' for a line that a native job ran."""

    marker: str
    at_s: float
    end_s: float
    end: str
    status: int
    process: str
    job: str = ""
    fault: str = ""
    tokens: int = 0

    @property
    def answered(self) -> bool:
        """The upstream gave an outcome that its line keeps."""
        return self.end in ("sent", "native") and self.status in (200, 400)

    @property
    def cut_off(self) -> bool:
        """Nobody waited for the reply, which may have been paid for."""
        return self.end == "client_closed"


@dataclass(frozen=True, slots=True)
class Incident:
    """A trouble as it happened. `process` is the life of the process that it befell ('' where that is all of them);
    `died`: the process was gone then; `clean`: it ended by itself with 0."""

    kind: Kind
    process: str
    begun_s: float
    ended_s: float
    died: bool = False
    clean: bool = False


@dataclass(frozen=True, slots=True)
class OwnEnd:
    """A process ended though nobody told it to; it was found gone then."""

    process: str
    code: int
    at_s: float


@dataclass(frozen=True, slots=True)
class LostLease:
    """A process said in its log that its lease was gone; it was read then."""

    process: str
    at_s: float


def calls_of(log: Iterable[bytes], begun_s: float) -> list[Call]:
    """From the simulator's log file, whose first millisecond was at `begun_s`."""
    calls = []
    for text in log:
        entry = json.loads(text)
        marker = marker_of(entry.get("text") or "") if entry["path"] in PATHS else ""
        if not marker:
            continue
        calls.append(
            Call(
                marker=marker,
                at_s=begun_s + entry["ms"] / 1000,
                end_s=begun_s + (entry.get("sent_ms") or entry["ms"]) / 1000,
                end=entry["end"],
                status=entry["status"],
                process=(entry.get("headers") or {}).get("x-worker", ""),
                job=entry.get("job", ""),
                fault=entry.get("fault", ""),
                tokens=entry["prompt_tokens"] + entry["completion_tokens"],
            )
        )
    return sorted(calls, key=lambda call: call.at_s)
