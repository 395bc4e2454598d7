"""What it costs that an answer counts as done only when it is on the disk: the same run with and without sync."""

from __future__ import annotations

from statistics import median

from benchmarks import inputs, upstreams
from benchmarks.bench import Bench, Figure
from benchmarks.run import Run, run_batch
from benchmarks.server import server

IN_FLIGHT = 256
WITHOUT = {"BATCHROUTER_UNSAFE_NO_SYNC": "1"}  # a door for this measurement alone


def measure(bench: Bench) -> list[Figure]:
    path = inputs.questions(bench, bench.lines_or(50_000))
    safe: list[Run] = []
    unsafe: list[Run] = []
    with upstreams.nginx(bench, "instant") as upstream:
        for _ in range(bench.rounds):
            for runs, env in ((safe, None), (unsafe, WITHOUT)):
                with server(bench, "durability", upstream.base_url, env, fixed_in_flight=IN_FLIGHT) as running:
                    runs.append(run_batch(running, path))
    cost = median(run.cpu_s for run in safe) / median(run.cpu_s for run in unsafe) - 1
    slower = median(run.wall_s for run in safe) / median(run.wall_s for run in unsafe) - 1
    return [
        Figure(
            "cost of durability: the CPU run against the same without sync",
            "≤ 10 %",
            f"{cost:+.1%} CPU, {slower:+.1%} time",
            cost <= 0.10,
        )
    ]
