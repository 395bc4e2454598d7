"""From the last answer of the upstream to a batch that says `completed`, polled every 5 ms."""

from __future__ import annotations

from statistics import median

from benchmarks import inputs, upstreams
from benchmarks.bench import Bench, Figure
from benchmarks.run import run_batch
from benchmarks.server import server

BATCHES = 5
IN_FLIGHT = 256
POLL_S = 0.005


def measure(bench: Bench) -> list[Figure]:
    path = inputs.questions(bench, bench.lines_or(3_000))
    late_ms = []
    with (
        upstreams.gap_upstream(bench) as upstream,
        server(bench, "last-answer", upstream.base_url, fixed_in_flight=IN_FLIGHT) as running,
    ):
        for _ in range(BATCHES):
            run = run_batch(running, path, poll_s=POLL_S)
            late_ms.append((run.completed_unix_s - upstream.report()["last_reply_unix_s"]) * 1e3)
    return [
        Figure(
            f"last answer to `completed`, {run.lines:,} lines",
            "≤ 100 ms",
            f"{median(late_ms):.0f} ms ({min(late_ms):.0f} to {max(late_ms):.0f} ms over {BATCHES} batches)",
            median(late_ms) <= 100,
        )
    ]
