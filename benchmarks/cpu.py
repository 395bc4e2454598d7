"""CPU of the whole serving process per line against an upstream that answers at once, as a multiple of the floor."""

from __future__ import annotations

import time
from statistics import median

from benchmarks import inputs, reference, upstreams
from benchmarks.bench import Bench, Figure
from benchmarks.run import run_batch
from benchmarks.server import Server, server

IN_FLIGHT = 256
QUIET_S, QUIET_CPU_S = 1.5, 0.03
"""A server that takes no more CPU than that in that time has nothing left to do."""


def measure(bench: Bench) -> list[Figure]:
    path = inputs.questions(bench, bench.lines_or(50_000))
    ratios, ours, floors, rates, starts, folds, downloads = [], [], [], [], [], [], []
    with upstreams.nginx(bench, "instant") as upstream:
        for _ in range(bench.rounds):
            floor = reference.cpu_per_10k(bench, path, upstream.port, IN_FLIGHT)
            with server(bench, "cpu", upstream.base_url, fixed_in_flight=IN_FLIGHT) as running:
                run = run_batch(running, path)
                folds.append(until_quiet(running) * 1e4 / run.lines)
                before = running.cpu_s()
                running.client.download(run.batch["output_file_id"])
                downloads.append((running.cpu_s() - before) * 1e4 / run.lines)
                starts.append(running.start_cpu_s)
            ratios.append(run.cpu_per_10k / floor)
            ours.append(run.cpu_per_10k)
            floors.append(floor)
            rates.append(run.lines / run.wall_s)
    ratio = median(ratios)
    return [
        Figure(
            f"CPU per line, {run.lines:,} real lines, upload to `completed`, instant upstream, {IN_FLIGHT} in flight",
            "≤ 4 × the reference client (3 × is the stretch)",
            f"{ratio:.2f} × ({min(ratios):.2f} to {max(ratios):.2f}): {median(ours):.3f} against "
            f"{median(floors):.3f} CPU-s per 10,000; {median(rates):,.0f} lines/s from upload to `completed`",
            ratio <= 4,
        ),
        Figure(
            "CPU apart from that: start, folding after `completed`, and download of the output",
            "none",
            f"start {median(starts):.2f} CPU-s; folding {median(folds):.3f} and download {median(downloads):.3f} CPU-s "
            "per 10,000 lines",
        ),
    ]


def until_quiet(running: Server) -> float:
    """CPU seconds until the server has nothing left to do."""
    began = before = running.cpu_s()
    while True:
        time.sleep(QUIET_S)
        now = running.cpu_s()
        if now - before <= QUIET_CPU_S:
            return now - began
        before = now
