"""How long a connection lies idle between a reply and the next request, seen by the upstream."""

from __future__ import annotations

from benchmarks import inputs, reference, upstreams
from benchmarks.bench import Bench, Figure
from benchmarks.run import run_batch
from benchmarks.server import server

IN_FLIGHT = 256


def measure(bench: Bench) -> list[Figure]:
    path = inputs.questions(bench, bench.lines_or(10_000))
    with upstreams.gap_upstream(bench) as upstream:
        reference.cpu_per_10k(bench, path, upstream.port, IN_FLIGHT)
        floor = upstream.report()
        with server(bench, "gap", upstream.base_url, fixed_in_flight=IN_FLIGHT) as running:
            run_batch(running, path)
            seen = upstream.report()
    return [
        Figure(
            f"gap between a reply and the next request on a connection, {IN_FLIGHT} in flight, 300 ms answers",
            "p50 ≤ 1 ms, p99 ≤ 5 ms",
            f"p50 {seen['p50_ms']:.2f} ms, p99 {seen['p99_ms']:.2f} ms, worst {seen['max_ms']:.1f} ms "
            f"of {seen['gaps']:,} (reference client: p50 {floor['p50_ms']:.2f} ms, p99 {floor['p99_ms']:.2f} ms)",
            seen["p50_ms"] <= 1 and seen["p99_ms"] <= 5,
        )
    ]
