"""A batch of a million lines beside one of 50,000: memory of every process in every phase, and how long people wait
for an answer about it meanwhile."""

from __future__ import annotations

import contextlib
import http.client
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import upstreams
from benchmarks.bench import Bench, Figure, Wrong
from benchmarks.client import Client, done
from benchmarks.cluster import cluster
from benchmarks.server import KEY, server
from benchmarks.shared_storage import bucket, postgres

FEW, MANY = 50_000, 1_000_000
IN_FLIGHT = 256
GROWTH_MIB_MAX = 25
LIMITS = {"batches": {"max_lines": 10_000_000, "max_bytes": 8 * 2**30}}
SAMPLE_S = 0.1
ASK_S = 1.0
SECONDS_MAX = 1200
WORKERS = 2


@dataclass(slots=True)
class Soaked:
    """One batch. Memory in MiB by process and phase: the most of its own that it had (proportional set size)."""

    lines: int
    seconds: dict[str, float] = field(default_factory=dict)
    peaks: dict[str, dict[str, float]] = field(default_factory=dict)
    waits: dict[str, list[float]] = field(default_factory=dict)
    """Seconds that a person waited for `GET /v1/batches`, asked once a second."""
    output_bytes: int = 0

    def peak(self, name: str) -> float:
        return max(self.peaks[name].values())

    def memory(self) -> str:
        return "; ".join(
            f"{name} {self.peak(name):.0f} MiB ({', '.join(f'{at} {mib:.0f}' for at, mib in peaks.items())})"
            for name, peaks in self.peaks.items()
        )

    def times(self) -> str:
        return ", ".join(
            f"{phase} {seconds:.1f} s"
            + (f" (an answer took {max(waits) * 1e3:.0f} ms at most)" if (waits := self.waits.get(phase)) else "")
            for phase, seconds in self.seconds.items()
        )


class Watch(threading.Thread):
    """Samples memory and asks for the batch, as a person would, until told to stop."""

    def __init__(self, soaked: Soaked, pids: Mapping[str, int], port: int) -> None:
        super().__init__(daemon=True)
        self.soaked = soaked
        self.pids = pids
        self.port = port
        self.path = "/v1/batches?limit=1"
        self.phase = ""
        self.enough = threading.Event()
        self.asker = threading.Thread(target=self.ask, daemon=True)
        self.began_s = 0.0

    def enter(self, phase: str) -> None:
        now = time.monotonic()
        if self.phase:
            self.soaked.seconds[self.phase] = now - self.began_s
        self.phase, self.began_s = phase, now

    def run(self) -> None:
        self.asker.start()
        while not self.enough.wait(SAMPLE_S):
            phase = self.phase
            for name, pid in self.pids.items():
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                    peaks = self.soaked.peaks.setdefault(name, {})
                    peaks[phase] = max(peaks.get(phase, 0.0), pss_mib(pid))
        self.asker.join()

    def ask(self) -> None:
        while not self.enough.wait(ASK_S):
            phase, began = self.phase, time.monotonic()
            wire = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
            wire.request("GET", self.path, headers={"Authorization": f"Bearer {KEY}"})
            if wire.getresponse().read():
                self.soaked.waits.setdefault(phase, []).append(time.monotonic() - began)
            wire.close()


def pss_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


def short_lines(bench: Bench, lines: int) -> Path:
    """About 200 bytes each, all different."""
    path = bench.out / "inputs" / f"short-{lines}.jsonl"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        with open(part, "w", encoding="utf-8") as out:
            for n in range(lines):
                out.write(
                    f'{{"custom_id":"request-{n:09d}","method":"POST","url":"/v1/chat/completions","body":{{"model":'
                    f'"fake-model","messages":[{{"role":"user","content":"How much is {n} and {n * 7919 % 10007}?"}}]'
                    ',"max_tokens":16}}\n'
                )
        part.rename(path)
    return path


def soak(path: Path, lines: int, client: Client, pids: Mapping[str, int]) -> Soaked:
    """Upload, run and download one batch on processes that have done nothing yet."""
    soaked = Soaked(lines)
    watch = Watch(soaked, pids, client.port)
    watch.start()
    try:
        watch.enter("upload")
        file_id = client.upload(path)
        watch.enter("plan")
        batch = client.create(file_id)
        watch.path = f"/v1/batches/{batch['id']}"
        batch = client.wait(batch["id"], lambda told: told["status"] != "validating", poll_s=0.05)
        watch.enter("run")
        client.wait(batch["id"], lambda told: told["status"] != "in_progress", poll_s=0.1, seconds_max=SECONDS_MAX)
        watch.enter("finalise")
        batch = client.wait(batch["id"], done, poll_s=0.05)
        watch.enter("download")
        soaked.output_bytes = client.download(batch["output_file_id"])
        watch.enter("")
    finally:
        watch.enough.set()
        watch.join()
    if batch["request_counts"]["completed"] != lines:
        raise Wrong(f"not every line was answered: {batch['request_counts']}")
    told = client.call("GET", f"/v1/files/{batch['output_file_id']}")
    if soaked.output_bytes != told["bytes"]:
        raise Wrong(f"{soaked.output_bytes} bytes were downloaded of {told['bytes']}")
    return soaked


@contextlib.contextmanager
def embedded(bench: Bench) -> Iterator[tuple[Client, dict[str, int]]]:
    """One process on SQLite and a folder."""
    with (
        upstreams.brief_nginx(bench) as upstream,
        server(bench, "soak", upstream.base_url, None, LIMITS, fixed_in_flight=IN_FLIGHT) as running,
    ):
        yield running.client, {"server": running.process.pid}


@contextlib.contextmanager
def shared(bench: Bench) -> Iterator[tuple[Client, dict[str, int]]]:
    """An API and workers on PostgreSQL and a bucket."""
    with (
        upstreams.brief_nginx(bench) as upstream,
        postgres(bench) as database,
        bucket(bench) as store,
        cluster(
            bench, upstream.base_url, database, store, workers=WORKERS, sections=LIMITS, fixed_in_flight=IN_FLIGHT
        ) as running,
    ):
        pids = {"API": running.apis[0].process.pid}
        pids |= {f"worker {number}": each.process.pid for number, each in enumerate(running.workers, 1)}
        yield running.client, pids


Shape = Callable[[Bench], contextlib.AbstractContextManager[tuple[Client, dict[str, int]]]]


def compare(bench: Bench, where: str, shape: Shape) -> list[Figure]:
    """The same on new processes, first with few lines and then with many."""
    many = bench.lines_or(MANY)
    runs = []
    for lines in (min(FEW, many // 2), many):
        path = short_lines(bench, lines)
        with shape(bench) as (client, pids):
            runs.append(soak(path, lines, client, pids))
        print(f"  {lines:,} lines: {runs[-1].memory()}\n    {runs[-1].times()}", flush=True)
    few, long = runs
    growth = {name: long.peak(name) - few.peak(name) for name in long.peaks}
    return [
        Figure(
            f"{long.lines:,} lines of 200 bytes {where}: growth of memory from {few.lines:,} lines",
            f"≤ {GROWTH_MIB_MAX} MiB",
            "; ".join(f"{name} {mib:+.0f} MiB (from {few.peak(name):.0f})" for name, mib in growth.items()),
            max(growth.values()) <= GROWTH_MIB_MAX,
        ),
        Figure("the same, most memory by phase", "none", long.memory()),
        Figure("the same, time by phase, and how long a person waits for an answer meanwhile", "none", long.times()),
    ]


def measure_embedded(bench: Bench) -> list[Figure]:
    return compare(bench, "on SQLite and a folder", embedded)


def measure_shared(bench: Bench) -> list[Figure]:
    return compare(bench, f"with {WORKERS} workers on PostgreSQL and a bucket", shared)
