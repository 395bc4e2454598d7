"""A job as OpenAI and its look-alikes show it, and what we see in it.

Facts: OpenAI's API reference "The batch object"; others saw `error_file_id` as an empty string, and `completed` before
the files were named. Together: words in capitals, ISO times, no counts (together-python, `types/batch.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeGuard

from batchrouter.adapters.native.refusal import CODE
from batchrouter.domain.job import JobPhase, NativeFacts, Seen
from batchrouter.errors import NativeUnknown

TAG = "batchrouter_job"
"""The key of our tag in a job's metadata."""
FILES = ("input_file_id", "output_file_id", "error_file_id")
FILES_LATE_MS = 600_000
"""How long after its end a job that did something may still have no file of results."""
PHASES = {
    "validating": JobPhase.RUNNING,
    "in_progress": JobPhase.RUNNING,
    "finalizing": JobPhase.RUNNING,
    "cancelling": JobPhase.CANCELLING,
    "canceling": JobPhase.CANCELLING,
    "completed": JobPhase.ENDED,
    "failed": JobPhase.ENDED,
    "expired": JobPhase.ENDED,
    "cancelled": JobPhase.ENDED,
    "canceled": JobPhase.ENDED,
}
_OURS = {phase.value: phase for phase in JobPhase}


_ID = re.compile(r"[!-~]{1,512}")
_ADDRESSES, _ADDRESS_MAX = ("http://", "https://"), 8192
_COUNT_MAX = 1_000_000_000
"""No job has as many lines, and every store can hold it."""


def is_job(value: object) -> bool:
    return isinstance(value, dict) and is_id(value.get("id")) and isinstance(value.get("status"), str)


def is_id(value: object) -> TypeGuard[str]:
    """Whether a name that a provider gave can be kept and asked for; no vendor's has other characters."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def seen_of(job: Any, facts: NativeFacts, data: Mapping[str, str], now_ms: int, what: str) -> Seen:
    """`data`: what was known of it before. Raises `NativeUnknown` for what is no job."""
    if not is_job(job):
        raise NativeUnknown(f"{what} was answered with something that is no job")
    word = job["status"]
    phase = _phase(word, facts.statuses)
    word = word.lower()
    counts = _object(job.get("request_counts"))
    completed, failed, total = (count_of(counts.get(name)) for name in ("completed", "failed", "total"))
    files = {name: job[name] for name in FILES if is_file(job.get(name))}
    results = len(files.keys() & {"output_file_id", "error_file_id"})
    code = reason = None
    refused = word == "failed" and not results and completed == 0
    if refused:
        code, reason = _refusal(job)
    elif phase is JobPhase.ENDED and word != "completed":
        reason = f"it ended as {word}"
    elif phase is JobPhase.ENDED and completed + failed > 0 and not results:
        ended_ms = time_ms(job.get("completed_at"))
        if ended_ms is not None and now_ms - ended_ms < FILES_LATE_MS:
            phase = JobPhase.RUNNING
    return Seen(
        ext_id=job["id"],
        phase=phase,
        completed=completed,
        failed=failed,
        total=total,
        refused=refused,
        code=code,
        reason=reason,
        data={**data, **files},
    )


def is_file(value: object) -> TypeGuard[str]:
    """A file's id; SiliconFlow names an address instead, which is longer."""
    return is_id(value) or (isinstance(value, str) and len(value) <= _ADDRESS_MAX and value.startswith(_ADDRESSES))


def tag_of(job: Mapping[str, Any]) -> str | None:
    """Our tag in its metadata."""
    tag = _object(job.get("metadata")).get(TAG)
    return tag if isinstance(tag, str) else None


def time_ms(value: object) -> int | None:
    """Unix seconds or an ISO time; one without a zone is meant in UTC. None: cannot be understood."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return int(value * 1000) if 0 <= value < 1e11 else None
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None


def _phase(word: str, statuses: Mapping[str, str]) -> JobPhase:
    """A word that nobody knows is one of a job that goes on: only an end that is sure may be collected."""
    told = statuses.get(word, word).lower()
    return PHASES[told] if told in PHASES else _OURS.get(told, JobPhase.RUNNING)


def _refusal(job: Mapping[str, Any]) -> tuple[str, str]:
    """Code and reason of a job that was rejected as a whole. Messages stay out: some quote the line."""
    errors = [each for each in _list(_object(job.get("errors")).get("data")) if isinstance(each, dict)]
    first = errors[0] if errors else {}
    code = first.get("code")
    code = code if isinstance(code, str) and CODE.fullmatch(code) else "failed"
    line = first.get("line")
    where = f" at line {line}" if isinstance(line, int) else ""
    more = f" and {len(errors) - 1} more" if len(errors) > 1 else ""
    return code, f"it was rejected: {code}{where}{more}"


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def count_of(value: object) -> int:
    """A count as a provider tells it; 0 for anything that is none."""
    return min(value, _COUNT_MAX) if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
