"""All native jobs of a simulator, whatever their dialect: for the control plane, and for limits that span jobs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from batchrouter.simulator.jobs import ENDED, Job

JOBS_MAX = 100_000


class NativeJob(Protocol):
    """A job as its dialect keeps it. `tokens` is what it counts for against a limit of enqueued tokens."""

    id: str
    dialect: str
    path: str
    model: str
    tokens: int
    job: Job

    def poke(self) -> None:
        """Something happened to `job` from outside: look at it again now."""

    def forget(self) -> None:
        """Let go of all that it holds; it will not be asked for again."""


class JobBook:
    """Jobs by id, oldest first. Beyond `JOBS_MAX` the oldest that has ended goes."""

    def __init__(self) -> None:
        self._jobs: dict[str, NativeJob] = {}

    def __iter__(self) -> Iterator[NativeJob]:
        return iter(list(self._jobs.values()))

    def __len__(self) -> int:
        return len(self._jobs)

    def get(self, job_id: str) -> NativeJob | None:
        return self._jobs.get(job_id)

    def add(self, native: NativeJob, now_s: float) -> None:
        if len(self._jobs) >= JOBS_MAX:
            ended = next((one for one in self._jobs.values() if one.job.phase(now_s) in ENDED), None)
            if ended is not None:
                self.remove(ended.id)
        self._jobs[native.id] = native

    def remove(self, job_id: str) -> None:
        """A job that is not there is none to remove."""
        native = self._jobs.pop(job_id, None)
        if native is not None:
            native.forget()

    def clear(self) -> None:
        for native in self:
            self.remove(native.id)

    def enqueued(self, model: str, now_s: float) -> int:
        """The tokens of all jobs of this model that have not ended."""
        return sum(one.tokens for one in self if one.model == model and one.job.phase(now_s) not in ENDED)

    def told(self, now_s: float, begun_s: float) -> list[dict[str, object]]:
        """Every job as the control plane tells it; `ms` counts from `begun_s`."""
        return [self.told_of(one, now_s, begun_s) for one in self]

    def told_of(self, native: NativeJob, now_s: float, begun_s: float) -> dict[str, object]:
        job = native.job
        return {
            "id": native.id,
            "dialect": native.dialect,
            "path": native.path,
            "model": native.model,
            "phase": job.phase(now_s).value,
            "total": job.total,
            "done": job.done(now_s),
            "tokens": native.tokens,
            "created_ms": round((job.created_s - begun_s) * 1000, 3),
        }
