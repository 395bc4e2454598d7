"""`kill -9` and SIGTERM at random moments: no finished answer is lost, and none is paid for twice."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchrouter.simulator import Script
from batchrouter.simulator.process import SimulatorProcess, running_simulator
from batchrouter.simulator.script import Uniform
from tests.crash.sessions import Pulse, ends_of, sent_twice_within
from tests.lines import FINAL, chats, check_output, counts, finished, jsonl, output_of, upload
from tests.serving import ServerProcess, config_for, running_server

LINES, KILLS = 5_000, 20
STOPS = 10


@pytest.fixture
def simulator() -> Iterator[SimulatorProcess]:
    with running_simulator(Script(latency=Uniform(low=0.1, high=0.3))) as running:
        yield running


@pytest.fixture
def server(simulator: SimulatorProcess, tmp_path: Path, in_flight: int) -> Iterator[ServerProcess]:
    with running_server(tmp_path, config_for(simulator.base_url, fixed_in_flight=in_flight)) as running:
        yield running


@pytest.fixture
def pulse(tmp_path: Path) -> Iterator[Pulse]:
    with Pulse(tmp_path / "pulse").beating() as beating:
        yield beating


@pytest.mark.parametrize("in_flight", [192])
def test_twenty_kills_lose_nothing_and_repeat_little(
    simulator: SimulatorProcess, server: ServerProcess, pulse: Pulse, chance: random.Random
) -> None:
    asked = chats(LINES, "kill")
    client = server.client()
    batch_id = upload(client, jsonl(asked)).id
    cuts: list[int] = []
    stalls_ms: list[float] = []

    def kill() -> None:
        stalls_ms.append(pulse.worst_ms())
        server.kill()
        cuts.append(simulator.stats()["requests"])

    done = 0
    for _ in range(KILLS):
        time.sleep(chance.uniform(0.0, 0.5))
        kill()
        if chance.random() < 0.15:  # dies once more before it is up
            server.spawn()
            time.sleep(chance.uniform(0.0, 0.6))
            kill()
        server.start()
        batch = client.batches.retrieve(batch_id)
        assert batch.status not in FINAL, "the batch was too short for so many kills"
        total, completed, failed = counts(batch)
        assert total in (0, LINES)
        assert failed == 0
        assert done <= completed, "what was done is done"
        done = completed
    batch = finished(client, batch_id, 60)
    log = simulator.log()
    assert (batch.status, counts(batch)) == ("completed", (LINES, LINES, 0))
    check_output(asked, output_of(client, batch))
    ends = ends_of(log, cuts, stalls_ms)
    for number, end in enumerate(ends, 1):
        print(f"kill {number:>2}: {end}")
    print(f"{len(log)} requests for {LINES} lines; before the last kill {done} lines were done")
    assert [entry.n for end in ends for entry in end.late] == []
    assert sent_twice_within(log, cuts) == []
    assert all(end.repeats <= end.bound for end in ends)
    # Usage counts each answer once, whatever was paid for twice.
    tokens = {entry.key: entry.prompt_tokens + entry.completion_tokens for entry in log}
    assert batch.usage is not None
    assert batch.usage.total_tokens == sum(tokens.values())


@pytest.mark.parametrize("in_flight", [80])
def test_stops_repeat_nothing(simulator: SimulatorProcess, server: ServerProcess, chance: random.Random) -> None:
    simulator.set_script(Script(latency=Uniform(low=0.1, high=0.2)))
    asked = chats(LINES, "stop")
    client = server.client()
    batch_id = upload(client, jsonl(asked)).id
    for _ in range(STOPS):
        time.sleep(chance.uniform(0.0, 0.6))
        server.stop()
        assert simulator.stats()["in_flight"] == 0
        server.start()
        assert client.batches.retrieve(batch_id).status not in FINAL, "the batch was too short for so many stops"
    batch = finished(client, batch_id, 60)
    assert (batch.status, counts(batch)) == ("completed", (LINES, LINES, 0))
    check_output(asked, output_of(client, batch))
    log = simulator.log()
    assert {entry.end for entry in log} == {"sent"}
    assert sorted(entry.key for entry in log) == sorted(each.key for each in asked)
