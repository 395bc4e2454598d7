"""How near the rate comes to in flight divided by latency when answers take 300 ms, paced as a user would have it.

The pace is learnt: the provider has only its ceiling (`max_in_flight`), so the ramp is part of the run, told apart.
Arrivals are counted by the upstream itself.
"""

from __future__ import annotations

import threading
import time
from itertools import pairwise
from pathlib import Path

from benchmarks import inputs, upstreams
from benchmarks.bench import Bench, Figure, Wrong
from benchmarks.run import run_batch
from benchmarks.server import server

LATENCY_S = 0.3
GOALS = {256: 0.97, 1024: 0.95}
SAMPLE_S = 0.05


class Watch(threading.Thread):
    """Samples of (seconds, requests arrived, being answered) from the upstream, until told to stop."""

    def __init__(self, upstream: upstreams.Nginx) -> None:
        super().__init__(daemon=True)
        self.upstream = upstream
        self.samples: list[tuple[float, int, int]] = []
        self.enough = threading.Event()

    def run(self) -> None:
        polls, base = 0, self.upstream.stat()[0]
        self.samples.append((time.perf_counter(), 0, 0))
        while not self.enough.wait(SAMPLE_S):
            arrived, writing = self.upstream.stat()
            polls += 1
            self.samples.append((time.perf_counter(), arrived - base - polls, writing))

    def await_arrivals(self, count: int, seconds_max: float = 600) -> None:
        """Returns when so many requests have arrived."""
        end = time.monotonic() + seconds_max
        while not self.samples or self.samples[-1][1] < count:
            if time.monotonic() > end:
                raise Wrong(f"the upstream has not seen {count:,} requests in {seconds_max:.0f} s")
            time.sleep(SAMPLE_S)

    def when_arrived(self, count: float) -> float:
        """The moment of the `count`-th arrival, between two samples by straight line."""
        for (t0, n0, _), (t1, n1, _) in pairwise(self.samples):
            if n0 < count <= n1:
                return t0 + (t1 - t0) * (count - n0) / (n1 - n0)
        raise Wrong(f"the upstream never saw {count:.0f} requests")

    def when_in_flight(self, count: float) -> float:
        return next((t for t, _, writing in self.samples if writing >= count), float("nan"))


def measure_one(bench: Bench, path: Path, lines: int, in_flight: int) -> Figure:
    with (
        upstreams.nginx(bench, "300ms") as upstream,
        server(bench, f"rate-{in_flight}", upstream.base_url, max_in_flight=in_flight) as running,
    ):
        watch = Watch(upstream)
        watch.start()
        run_batch(running, path)
        watch.enough.set()
        watch.join()
    ideal = in_flight / LATENCY_S
    seconds = watch.when_arrived(lines * 0.9) - watch.when_arrived(lines * 0.1)
    rate = lines * 0.8 / seconds
    ramp_s = watch.when_in_flight(in_flight * 0.9) - watch.when_arrived(1)
    return Figure(
        f"rate against the ideal, 300 ms answers, {in_flight:,} in flight, 10th to 90th per cent of {lines:,} lines",
        f"≥ {GOALS[in_flight]:.0%}",
        f"{rate / ideal:.1%} ({rate:,.0f} of {ideal:,.0f} lines/s); 90 % of the ceiling after {ramp_s:.1f} s",
        rate / ideal >= GOALS[in_flight],
    )


def measure(bench: Bench) -> list[Figure]:
    figures = []
    for in_flight in GOALS:
        lines = bench.lines_or(min(in_flight * 60, 50_000))
        figures.append(measure_one(bench, inputs.questions(bench, lines), lines, in_flight))
    return figures
