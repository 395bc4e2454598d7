"""Peak resident memory of the server, and how it grows with the file."""

from __future__ import annotations

from benchmarks import inputs, upstreams
from benchmarks.bench import Bench, Figure
from benchmarks.run import run_batch
from benchmarks.server import server

FEW_LINES = 1_000


def peak_mib(bench: Bench, lines: int, in_flight: int, kind: str, *, tls: bool = False) -> float:
    """Of a server that ran one batch of 4 KB lines, from its start."""
    path = inputs.four_kib(bench, lines)
    with upstreams.nginx(bench, kind, tls=tls) as upstream:
        env = {"SSL_CERT_FILE": str(upstream.cert)} if upstream.cert else None
        with server(bench, "memory", upstream.base_url, env, fixed_in_flight=in_flight) as running:
            run_batch(running, path)
            return running.peak_mib()


def measure(bench: Bench) -> list[Figure]:
    lines = bench.lines_or(50_000)
    paced = peak_mib(bench, lines, 1024, "300ms")
    flood = peak_mib(bench, lines, 1024, "instant")
    small = peak_mib(bench, FEW_LINES, 1024, "300ms")
    growth = paced - small
    over_tls = peak_mib(bench, lines, 256, "300ms", tls=True)
    return [
        Figure(
            f"peak memory, {lines:,} lines of 4 KB, 1,024 in flight, plain HTTP",
            "≤ 120 MB",
            f"{max(paced, flood):.0f} MiB ({paced:.0f} with 300 ms answers, {flood:.0f} with instant ones)",
            max(paced, flood) * 1.048576 <= 120,
        ),
        Figure(
            f"growth of that from {FEW_LINES:,} lines, 300 ms answers",
            "≤ 25 MB",
            f"{growth:.0f} MiB (from {small:.0f} MiB)",
            growth * 1.048576 <= 25,
        ),
        Figure(
            f"peak memory, {lines:,} lines of 4 KB, 256 in flight, TLS, 300 ms answers",
            "≤ 200 MB",
            f"{over_tls:.0f} MiB",
            over_tls * 1.048576 <= 200,
        ),
    ]
