"""One batch from the first byte of its upload to `completed`, with what it cost the server."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bench import Wrong
from benchmarks.client import Batch, done
from benchmarks.server import Server

POLL_S = 0.25


@dataclass(frozen=True, slots=True)
class Run:
    batch: Batch
    lines: int
    cpu_s: float
    wall_s: float
    completed_unix_s: float  # when the poll that said so returned

    @property
    def cpu_per_10k(self) -> float:
        return self.cpu_s * 1e4 / self.lines


def run_batch(server: Server, path: Path, *, poll_s: float = POLL_S) -> Run:
    cpu, wall = server.cpu_s(), time.perf_counter()
    batch = server.client.create(server.client.upload(path))
    batch = server.client.wait(batch["id"], done, poll_s=poll_s)
    completed_unix_s, cpu, wall = time.time(), server.cpu_s() - cpu, time.perf_counter() - wall
    lines = batch["request_counts"]["total"]
    if not batch["output_file_id"] or batch["error_file_id"]:
        raise Wrong(f"a clean batch must have an output file and no error file: {batch}")
    return Run(batch, lines, cpu, wall, completed_unix_s)
