"""How the rate grows with workers on PostgreSQL and a bucket, and what 10,000 lines cost each part of it.

Workers have a fixed number of lines in flight, so that the ideal is known. Nobody is pinned:
what is asked is how far this machine's cores carry all of it, upstream and bucket included.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks import inputs, upstreams
from benchmarks.bench import CORES, Bench, Figure, Wrong
from benchmarks.client import done
from benchmarks.cluster import Cluster, cluster
from benchmarks.rate import LATENCY_S, Watch
from benchmarks.shared_storage import Bucket, Postgres, bucket, postgres, puts
from benchmarks.upstreams import TICKS, Nginx

WORKERS = (1, 2, 4, 8)
IN_FLIGHT = 64
FAST_WORKERS, FAST_IN_FLIGHT = 4, 160
SECONDS, FAST_SECONDS = 20, 36
"""Of work in each run; what a batch costs once is spread over it."""
LARGE = {"batches": {"max_lines": 1_000_000, "max_bytes": 2**30}}
IDLE_WORKERS, IDLE_APIS, IDLE_SECONDS = 8, 2, 15
POLL_S = 0.5
STARTED_S = 11
"""What a backend did before it rests, it tells ten seconds later: what a start asked belongs to no figure."""
FOLD_SECONDS_MAX = 60
LINEAR = 0.95
TRANSACTIONS_MAX, PUTS_MAX, DATABASE_CPU_MAX = 60, 40, 0.2


@dataclass(frozen=True, slots=True)
class Point:
    """One run, from `create` until its answers are folded. What it cost is told for 10,000 lines."""

    workers: int
    in_flight: int
    lines: int
    rate: float
    worker_cpu: float
    api_cpu: float
    upstream_load: float
    """Cores that the upstream kept busy."""
    busy: float
    """The part of the machine that was busy, whoever it was."""
    transactions: float
    written: float
    database_cpu: float
    wal_kib: float
    table_kib: float
    puts: float
    put_kinds: dict[str, float]
    bucket_mb: float

    @property
    def ideal(self) -> float:
        return self.workers * self.in_flight / LATENCY_S

    @property
    def linear(self) -> float:
        return self.rate / self.ideal

    def speed(self) -> str:
        return (
            f"{self.linear:.1%} ({self.rate:,.0f} of {self.ideal:,.0f} lines/s); machine {self.busy:.0%} busy, "
            f"upstream {self.upstream_load:.0%} of a core"
        )

    def costs(self) -> str:
        kinds = ", ".join(f"{kind.removeprefix('put ')} {number:.1f}" for kind, number in self.put_kinds.items())
        return (
            f"{self.transactions:.0f} transactions ({self.written:.0f} that write), {self.puts:.1f} puts ({kinds}); "
            f"CPU-s: database {self.database_cpu:.3f}, workers {self.worker_cpu:.2f}, API {self.api_cpu:.3f}; "
            f"WAL {self.wal_kib:.0f} KiB, tables {self.table_kib:.0f} KiB, bucket {self.bucket_mb:.1f} MB"
        )

    @property
    def cheap(self) -> bool:
        return self.transactions < TRANSACTIONS_MAX and self.puts < PUTS_MAX and self.database_cpu <= DATABASE_CPU_MAX


def run(path: Path, running: Cluster, database: Postgres, store: Bucket, upstream: Nginx, in_flight: int) -> Point:
    file_id = running.client.upload(path)
    told, stored = database.told(), store.counts()
    workers_s, api_s, upstream_s = running.worker_cpu_s(), running.api_cpu_s(), upstream.cpu_s()
    watch = Watch(upstream)
    watch.start()
    began, busy_s = time.perf_counter(), machine_busy_s()
    try:
        batch = running.client.create(file_id)
        running.client.wait(batch["id"], lambda told: told["status"] == "in_progress", poll_s=POLL_S)
        watch.await_arrivals(lines_of(path))  # asking the API would be transactions that nobody else needs
        batch = running.client.wait(batch["id"], done, poll_s=POLL_S)
        seconds, busy_s = time.perf_counter() - began, machine_busy_s() - busy_s
    finally:
        watch.enough.set()
        watch.join()
    upstream_s = upstream.cpu_s() - upstream_s
    await_folds(database)
    spent = database.told().since(told)
    workers_s, api_s = running.worker_cpu_s() - workers_s, running.api_cpu_s() - api_s
    after = store.counts()
    lines = batch["request_counts"]["total"]
    per = 1e4 / lines
    news = {kind: (after[kind] - stored.get(kind, 0)) * per for kind in after}
    return Point(
        workers=len(running.workers),
        in_flight=in_flight,
        lines=lines,
        rate=lines * 0.8 / (watch.when_arrived(lines * 0.9) - watch.when_arrived(lines * 0.1)),
        worker_cpu=workers_s * per,
        api_cpu=api_s * per,
        upstream_load=upstream_s / seconds,
        busy=busy_s / (seconds * len(CORES)),
        transactions=spent.transactions * per,
        written=spent.written * per,
        database_cpu=spent.cpu_s * per,
        wal_kib=spent.wal_bytes * per / 1024,
        table_kib=spent.bytes * per / 1024,
        puts=puts(news),
        put_kinds={kind: number for kind, number in news.items() if puts({kind: 1}) and number},
        bucket_mb=news["bytes"] / 1e6,
    )


def lines_of(path: Path) -> int:
    with open(path, "rb") as file:
        return sum(1 for _ in file)


def await_folds(database: Postgres) -> None:
    """The background's work belongs to the price too."""
    end = time.monotonic() + FOLD_SECONDS_MAX
    while database.ask("SELECT count(*) FROM ranges WHERE NOT folded")[0][0]:
        if time.monotonic() > end:
            raise Wrong(f"ranges are not folded after {FOLD_SECONDS_MAX} s")
        time.sleep(POLL_S)


def machine_busy_s() -> float:
    """Of all cores, since the machine began; what waits for a disk is not busy."""
    words = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    user, nice, system, _, _, irq, softirq, steal = map(int, words[:8])
    return (user + nice + system + irq + softirq + steal) / TICKS


def idle(running: Cluster, database: Postgres) -> Figure:
    """What a cluster asks of its database when there is nothing to do."""
    time.sleep(STARTED_S)
    told, began = database.told(), time.perf_counter()
    workers_s = running.worker_cpu_s()
    time.sleep(IDLE_SECONDS)
    spent = database.told().since(told)
    seconds = time.perf_counter() - began
    workers_s = running.worker_cpu_s() - workers_s
    return Figure(
        f"idle: {IDLE_WORKERS} workers and {IDLE_APIS} APIs",
        "none",
        f"{spent.transactions / seconds:.1f} transactions a second ({spent.written / seconds:.1f} that write); "
        f"database {spent.cpu_s / seconds:.1%} of a core, a worker {workers_s / seconds / IDLE_WORKERS:.1%}; "
        f"WAL {spent.wal_bytes / seconds / 1024:.1f} KiB a second",
    )


def measure(bench: Bench) -> list[Figure]:
    figures: list[Figure] = []
    with upstreams.nginx(bench, "300ms") as upstream, postgres(bench) as database, bucket(bench) as store:
        base_url = upstream.base_url
        for workers in WORKERS:
            path = inputs.questions(bench, bench.lines_or(round(workers * IN_FLIGHT / LATENCY_S * SECONDS)))
            with cluster(bench, base_url, database, store, workers=workers, fixed_in_flight=IN_FLIGHT) as running:
                point = run(path, running, database, store, upstream, IN_FLIGHT)
            figures.append(
                Figure(
                    f"{workers} workers, {IN_FLIGHT} in flight each, 300 ms answers: lines/s against the ideal",
                    f"≥ {LINEAR:.0%}",
                    point.speed(),
                    point.linear >= LINEAR,
                )
            )
            figures.append(Figure("the same, for 10,000 lines", "none", point.costs()))
        path = inputs.questions(bench, bench.lines_or(round(FAST_WORKERS * FAST_IN_FLIGHT / LATENCY_S * FAST_SECONDS)))
        with cluster(
            bench, base_url, database, store, workers=FAST_WORKERS, sections=LARGE, fixed_in_flight=FAST_IN_FLIGHT
        ) as running:
            time.sleep(STARTED_S)
            point = run(path, running, database, store, upstream, FAST_IN_FLIGHT)
        figures.append(
            Figure(
                f"{FAST_WORKERS} workers, {point.rate / FAST_WORKERS:,.0f} lines/s each, for 10,000 lines",
                f"< {TRANSACTIONS_MAX} transactions, < {PUTS_MAX} puts, ≤ {DATABASE_CPU_MAX} CPU-s of database",
                point.costs(),
                point.cheap,
            )
        )
        with cluster(
            bench, base_url, database, store, apis=IDLE_APIS, workers=IDLE_WORKERS, fixed_in_flight=IN_FLIGHT
        ) as running:
            figures.append(idle(running, database))
    return figures
