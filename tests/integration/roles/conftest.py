"""One cluster for what does no harm to its processes: two APIs and two workers on PostgreSQL and a bucket."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchrouter.simulator import Script
from batchrouter.simulator.process import SimulatorProcess, running_simulator
from batchrouter.simulator.script import Uniform
from tests.postgres import drop_database, empty_database, fresh_database, the_server
from tests.s3 import BUCKET, S3Server, s3
from tests.serving import Cluster, shared_config

__all__ = ["s3"]

GRACE_S = 10
"""Calls have this long to end when a process stops."""


@pytest.fixture
def simulator() -> Iterator[SimulatorProcess]:
    with running_simulator(Script(latency=Uniform(low=0.1, high=0.3))) as running:
        yield running


@pytest.fixture
def database() -> Iterator[str]:
    url = fresh_database()
    yield url
    drop_database(the_server(), url.rpartition("/")[2])


@pytest.fixture
def bare_database() -> Iterator[str]:
    """Without tables."""
    url = empty_database()
    yield url
    drop_database(the_server(), url.rpartition("/")[2])


@pytest.fixture
def cluster(tmp_path: Path, database: str, s3: S3Server, simulator: SimulatorProcess) -> Iterator[Cluster]:
    """Not started."""
    config = shared_config(
        database, f"s3://{BUCKET}/{secrets.token_hex(8)}", simulator.base_url, shutdown_grace_s=GRACE_S
    )
    made = Cluster(tmp_path, config, env=s3.env)
    try:
        yield made
    finally:
        made.__exit__()
