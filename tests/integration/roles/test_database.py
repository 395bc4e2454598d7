"""A database that is away, empty or wrong, and processes that need it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from batchrouter.simulator.process import SimulatorProcess
from tests.integration.roles.conftest import await_that, blobs_url
from tests.lines import chats, counts, finished, jsonl, upload
from tests.postgres import PostgresServer, make_schema
from tests.s3 import S3Server
from tests.serving import Cluster, Program, WorkerProcess, shared_config

AT_ONCE_S = 20.0
"""Within which whoever asks has an answer, whatever the database does; the API itself gives up after ten."""


@pytest.fixture
def postgres() -> Iterator[PostgresServer]:
    """One that may be stopped; not started."""
    server = PostgresServer()
    yield server
    server.remove()


def status(program: Program, path: str) -> int | None:
    """None: nobody listens."""
    try:
        return program.fetch("GET", path)[0]
    except OSError:
        return None


def told(program: Program) -> dict[str, object]:
    """What it said when it was up."""

    def lines() -> list[str]:
        return [line for line in program.log.splitlines() if line.startswith("{")]

    await_that(lambda: bool(lines()), "it is ready, and does not say so")
    (line,) = lines()
    found: dict[str, object] = json.loads(line)
    return found


def assert_refused(program: Program, key: str) -> None:
    """In OpenAI's shape, with a time to come back, and before the client gives up."""
    since_s = time.monotonic()
    code, text = program.fetch("GET", "/v1/batches", key=key)
    assert time.monotonic() - since_s < AT_ONCE_S
    error = json.loads(text)["error"]
    assert (code, error["code"], error["type"]) == (503, "database_unavailable", "server_error")


@contextmanager
def frozen(server: PostgresServer) -> Iterator[None]:
    """It takes connections and answers nobody: the worst that can happen to whoever waits."""
    pid = server.pid()
    assert pid is not None
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=True)
    pids = [pid, *map(int, listed.stdout.split())]
    for each in pids:
        os.kill(each, signal.SIGSTOP)
    try:
        yield
    finally:
        for each in pids:
            os.kill(each, signal.SIGCONT)


def test_a_database_is_waited_for(
    clusters: Callable[..., Cluster], postgres: PostgresServer, s3: S3Server, simulator: SimulatorProcess
) -> None:
    """At the start, where of two APIs on a new database one makes the first key; and later, where whoever asks gets
    an answer all the same."""
    postgres.start()
    make_schema(postgres.url())
    postgres.stop()
    config = shared_config(postgres.url(), blobs_url(), simulator.base_url)
    cluster = clusters(config, workers=1, env={**s3.env, "BATCHROUTER_API_KEY": ""}, arguments=("--json",))
    for each in cluster.all:
        each.spawn()
    one, other = cluster.apis
    for each in cluster.all:
        await_that(lambda each=each: status(each, "/healthz") == 200, "it does not listen")
        assert status(each, "/readyz") == 503
    assert_refused(one, "sk-any")
    postgres.start()
    for each in cluster.all:
        each.await_up()
    keys = [first for each in cluster.apis if (first := told(each)["first_key"]) is not None]
    assert len(keys) == 1
    key = str(keys[0])
    assert told(cluster.workers[0])["role"] == "worker"
    batch_id = upload(one.client(key), jsonl(chats(20, "before"))).id
    assert counts(finished(other.client(key), batch_id)) == (20, 20, 0)

    postgres.stop("immediate")
    for each in cluster.all:
        await_that(lambda each=each: status(each, "/readyz") == 503, "it thinks that it is ready")
        assert status(each, "/healthz") == 200
    assert_refused(one, "sk-any")
    postgres.start()
    for each in cluster.all:
        each.await_up()
    with frozen(postgres):
        assert_refused(one, "sk-any")
        assert status(one, "/healthz") == 200
    one.await_up()
    batch_id = upload(one.client(key), jsonl(chats(20, "after"))).id
    assert counts(finished(other.client(key), batch_id)) == (20, 20, 0)
    cluster.stop()


def test_a_process_that_waits_for_its_database_can_be_stopped(tmp_path: Path, postgres: PostgresServer) -> None:
    config = shared_config(postgres.url(), str(tmp_path / "blobs"), "http://127.0.0.1:9/v1")
    worker = WorkerProcess(tmp_path, "worker", config)
    try:
        worker.spawn()
        await_that(lambda: "trying again" in worker.log, "it does not say that it waits")
        assert status(worker, "/healthz") == 200
        worker.stop()
    finally:
        worker.close()


def test_another_schema_ends_a_process_at_once(tmp_path: Path, database: str) -> None:
    """With the sentence that says what to do, and no password."""
    with psycopg.connect(database) as connection:
        connection.execute("UPDATE compatibility SET oldest = '9999'")
    url = database.replace("postgres@", "postgres:hush-hush-secret@")
    worker = WorkerProcess(tmp_path, "worker", shared_config(url, str(tmp_path / "blobs"), "http://127.0.0.1:9/v1"))
    try:
        worker.spawn()
        assert worker.wait() == 2
    finally:
        worker.close()
    assert "too new" in worker.log
    assert "hush" not in worker.log
    assert "Traceback" not in worker.log
