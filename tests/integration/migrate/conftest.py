"""A folder that a server was killed on: one batch has ended, one is half done, one has just begun."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import openai
import pytest

from batchrouter.config import StorageConfig
from batchrouter.simulator import Match, Rule, Script, Then
from batchrouter.simulator.process import SimulatorProcess, running_simulator
from tests.postgres import drop_database, empty_database, the_server
from tests.s3 import blob_place, s3
from tests.serving import config_for, running_server

__all__ = ["blob_place", "s3"]

SLOW = "take your time"
LINES = 60


@dataclass(frozen=True, slots=True)
class Left:
    """`contents`: of every file, by id. `asked`: prompts that the upstream had answered by then."""

    folder: Path
    simulator: SimulatorProcess
    finished: str
    half: str
    fresh: str
    contents: dict[str, bytes]
    answered: frozenset[str]

    def copy(self, place: Path) -> Path:
        shutil.copytree(self.folder, place, ignore=shutil.ignore_patterns("lock", "server.json"))
        return place


@pytest.fixture(scope="session")
def left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Left]:
    place = tmp_path_factory.mktemp("left")
    script = Script(rules=(Rule(match=Match(contains=SLOW), then=Then(delay_s=600)),))
    with (
        running_simulator(script, ["--keep-bodies"]) as simulator,
        running_server(place, config_for(simulator.base_url)) as server,
    ):
        with server.client() as client:
            finished = _batch(client, [f"a{number}" for number in range(LINES)])
            _until(client, finished, LINES)
            half = _batch(client, [f"b{n} {SLOW if n % 2 else ''}" for n in range(LINES)])
            _until(client, half, LINES // 2)
            fresh = _batch(client, [f"c{number} {SLOW}" for number in range(LINES)])
            contents = {file.id: client.files.content(file.id).content for file in client.files.list()}
            answered = frozenset([f"a{n}" for n in range(LINES)] + [f"b{n} " for n in range(0, LINES, 2)])
            server.kill()
        simulator.set_script(Script())
        yield Left(place / "data", simulator, finished, half, fresh, contents, answered)


@pytest.fixture
def folder(left: Left, tmp_path: Path) -> Path:
    return left.copy(tmp_path / "data")


@pytest.fixture
def storage(blob_place: tuple[str, dict[str, str]]) -> Iterator[StorageConfig]:
    """An empty database and an empty place in a bucket."""
    url = empty_database()
    yield StorageConfig(database=url, blobs=blob_place[0], options=blob_place[1])
    drop_database(the_server(), urlsplit(url).path[1:])


def _batch(client: openai.OpenAI, prompts: list[str]) -> str:
    lines = [
        json.dumps(
            {
                "custom_id": f"{number}",
                "method": "POST",
                "url": "/v1/chat/completions",
                "body": {"model": "m", "messages": [{"role": "user", "content": prompt}]},
            }
        )
        for number, prompt in enumerate(prompts)
    ]
    file = client.files.create(file=("in.jsonl", "\n".join(lines).encode()), purpose="batch")
    batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    return batch.id


def _until(client: openai.OpenAI, batch_id: str, completed: int) -> None:
    deadline_s = time.monotonic() + 60
    while True:
        batch = client.batches.retrieve(batch_id)
        assert batch.request_counts is not None
        if batch.request_counts.completed == completed and (completed < LINES or batch.status == "completed"):
            return
        assert time.monotonic() < deadline_s, batch
        time.sleep(0.05)
