"""Processes on a database and a bucket of each test's own."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from batchrouter.simulator import Script
from batchrouter.simulator.process import SimulatorProcess, running_simulator
from batchrouter.simulator.script import Uniform
from tests.postgres import drop_database, fresh_database, the_server
from tests.s3 import BUCKET, S3Server, s3
from tests.serving import Cluster, shared_config

__all__ = ["s3"]

GRACE_S = 10
"""Calls have this long to end when a process stops."""
LEASE_S = 5
IN_FLIGHT = 32


@pytest.fixture(scope="session")
def simulator() -> Iterator[SimulatorProcess]:
    with running_simulator(Script(latency=Uniform(low=0.1, high=0.3))) as running:
        yield running


@pytest.fixture
def database() -> Iterator[str]:
    url = fresh_database()
    yield url
    drop_database(the_server(), url.rpartition("/")[2])


@pytest.fixture
def clusters(tmp_path: Path) -> Iterator[Callable[..., Cluster]]:
    """Makes clusters, not started, that end with the test."""
    made: list[Cluster] = []

    def make(config: dict[str, Any], **options: Any) -> Cluster:
        made.append(Cluster(tmp_path / f"cluster-{len(made)}", config, **options))
        return made[-1]

    yield make
    for each in made:
        each.__exit__()


def blobs_url() -> str:
    """Of an empty place in the bucket."""
    return f"s3://{BUCKET}/{secrets.token_hex(8)}"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, s3: S3Server, simulator: SimulatorProcess) -> Iterator[Cluster]:
    """Two APIs and two workers, started. Whoever ends one of them starts it again."""
    database = fresh_database()
    config = shared_config(database, blobs_url(), simulator.base_url, shutdown_grace_s=GRACE_S, lease=LEASE_S)
    config["providers"]["sim"]["fixed_in_flight"] = IN_FLIGHT
    with Cluster(tmp_path_factory.mktemp("cluster"), config, env=s3.env) as made:
        yield made
    drop_database(the_server(), database.rpartition("/")[2])


def await_that(holds: Callable[[], bool], what: str, within_s: float = 60.0) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
