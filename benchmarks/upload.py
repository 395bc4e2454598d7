"""CPU for taking in the largest file: upload, line index, validation and plan, while next to nothing is sent."""

from __future__ import annotations

import time
from statistics import median

from benchmarks import inputs, upstreams
from benchmarks.bench import Bench, Figure
from benchmarks.server import server


def measure(bench: Bench) -> list[Figure]:
    path = inputs.four_kib(bench, bench.lines_or(50_000))
    cpus, walls = [], []
    with upstreams.gap_upstream(bench) as upstream:
        for _ in range(bench.rounds):
            with server(bench, "upload", upstream.base_url, fixed_in_flight=1) as running:
                cpu, wall = running.cpu_s(), time.perf_counter()
                batch = running.client.create(running.client.upload(path))
                running.client.wait(batch["id"], lambda batch: batch["status"] == "in_progress", poll_s=0.02)
                cpus.append(running.cpu_s() - cpu)
                walls.append(time.perf_counter() - wall)
                running.client.cancel(batch["id"])
    megabytes = path.stat().st_size / 1e6
    return [
        Figure(
            f"upload, index and validation of {megabytes:.0f} MB",
            "≤ 1.0 CPU second",
            f"{median(cpus):.2f} CPU-s ({min(cpus):.2f} to {max(cpus):.2f}); {median(walls):.2f} s, "
            f"{megabytes / median(walls):.0f} MB/s",
            median(cpus) <= 1.0,
        )
    ]
