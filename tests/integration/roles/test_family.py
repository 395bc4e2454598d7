"""`serve --workers N`: one command, and a process for each worker."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchrouter.simulator.process import SimulatorProcess
from tests.integration.roles.conftest import await_that
from tests.lines import chats, check_output, finished, jsonl, output_of, upload
from tests.serving import ApiProgram, shared_config


class Parent(ApiProgram):
    @property
    def children(self) -> list[int]:
        """The pids of its workers, as they said themselves when they were ready."""
        told = [line[line.index("{") :] for line in self.log.splitlines() if '"role":"worker"' in line]
        return [int(json.loads(line)["pid"]) for line in told]


@pytest.fixture
def parent(tmp_path: Path, database: str, simulator: SimulatorProcess) -> Iterator[Parent]:
    """Two workers, and a folder for the bytes."""
    config = shared_config(database, str(tmp_path / "blobs"), simulator.base_url)
    made = Parent(tmp_path, "parent", config, ("--workers", "2", "--log-level", "info", "--json"))
    try:
        made.start()
        yield made
    finally:
        made.close()
        print(made.log[-4000:])


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()


def test_workers_are_kept_running_and_end_with_their_parent(parent: Parent) -> None:
    """One that dies is started again; when the parent dies, however it does, so do they."""
    await_that(lambda: len(parent.children) == 2, "the workers are not ready")
    assert '"role":"serve"' in parent.log
    asked = chats(100, "family")
    batch = finished(parent.client(), upload(parent.client(), jsonl(asked)).id)
    check_output(asked, output_of(parent.client(), batch))
    first, second = parent.children
    os.kill(first, signal.SIGKILL)
    await_that(lambda: len(parent.children) == 3, "it is not started again")
    assert f"({first}) ended with -9; it is started again" in parent.log
    living = [second, parent.children[2]]
    parent.kill()
    await_that(lambda: not any(map(lives, living)), "they live on without their parent")
