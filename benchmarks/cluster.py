"""`batchrouter api` and `batchrouter worker`, several of each, on one PostgreSQL and one bucket."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.bench import Bench, Wrong, last_words
from benchmarks.client import Client
from benchmarks.server import KEY, PROGRAM, STOP_SECONDS_MAX, configuration, wait_until_healthy
from benchmarks.shared_storage import Bucket, Postgres
from benchmarks.upstreams import cpu_s, free_port


@dataclass(slots=True)
class Program:
    """One process of ours."""

    process: subprocess.Popen[bytes]
    client: Client
    log: Path

    def cpu_s(self) -> float:
        return cpu_s(self.process.pid)

    def kill(self) -> None:
        """`kill -9`."""
        self.process.kill()
        self.process.wait()


@dataclass(slots=True)
class Cluster:
    apis: list[Program]
    workers: list[Program]

    @property
    def client(self) -> Client:
        return self.apis[0].client

    def api_cpu_s(self) -> float:
        return sum(api.cpu_s() for api in self.apis)

    def worker_cpu_s(self) -> float:
        return sum(worker.cpu_s() for worker in self.workers)


@contextlib.contextmanager
def cluster(
    bench: Bench,
    base_url: str,
    database: Postgres,
    bucket: Bucket,
    *,
    apis: int = 1,
    workers: int,
    sections: dict[str, Any] | None = None,
    **pace: int,
) -> Iterator[Cluster]:
    """Started, each healthy. `sections` are sections of the configuration, `pace` settings of its only provider."""
    folder = bench.folder("cluster")
    storage = {"database": database.url, "blobs": bucket.url, "spill": str(folder / "spill")}
    path = folder / "batchrouter.yaml"
    path.write_text(configuration(base_url, pace, {"storage": storage, **(sections or {})}))
    env = {**os.environ, **bucket.env, "BATCHROUTER_API_KEY": KEY}
    upgrade = [str(PROGRAM), "db", "upgrade", "--config", str(path)]
    done = subprocess.run(upgrade, cwd=folder, env=env, capture_output=True, check=False)
    if done.returncode:
        raise Wrong(f"the schema could not be made: {done.stderr.decode(errors='replace')[-600:]}")
    running: list[Program] = []

    def start(role: str, number: int) -> Program:
        port, log = free_port(), folder / f"{role}-{number}.log"
        command = [str(PROGRAM), role, "--host", "127.0.0.1", "--port", str(port), "--config", str(path)]
        with open(log, "wb") as out:
            process = subprocess.Popen(
                [*command, "--log-level", "info"], stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=folder, env=env
            )
        running.append(Program(process, Client(port, KEY), log))
        return running[-1]

    try:
        made = Cluster([start("api", n) for n in range(apis)], [start("worker", n) for n in range(workers)])
        for program in running:
            wait_until_healthy(program.process, program.client, program.log)
        yield made
        for program in running:
            if program.process.poll() not in (None, -signal.SIGKILL):
                raise Wrong(f"a process ended by itself with {program.process.poll()}: {last_words(program.log)}")
    finally:
        for program in running:
            program.process.terminate()
        end = time.monotonic() + STOP_SECONDS_MAX
        for program in running:
            try:
                program.process.wait(max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                program.process.kill()
                program.process.wait()
