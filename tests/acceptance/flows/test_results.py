"""Lines read while a batch runs on a real server that is killed meanwhile, and its files: the same."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from batchrouter.adapters.sql.store import DATABASE
from batchrouter.simulator import Match, Rule, Script, Then
from batchrouter.simulator.process import SimulatorProcess, running_simulator
from batchrouter.simulator.script import Uniform
from tests.acceptance.flows.conftest import POISON
from tests.lines import CHAT, Asked, chat, chats, counts, errors_of, finished, jsonl, output_of, upload
from tests.reading import LineReader, streamed
from tests.serving import ServerProcess, config_for

LINES = 600


@pytest.fixture(scope="module")
def slow() -> Iterator[SimulatorProcess]:
    """Slow enough that segments are small."""
    rules = (Rule(match=Match(contains=POISON), then=Then(status=500)),)
    with running_simulator(Script(rules=rules, latency=Uniform(low=0.02, high=0.03))) as running:
        yield running


def test_lines_read_along_are_those_of_the_files(slow: SimulatorProcess, tmp_path: Path) -> None:
    """Page by page over a kill -9 in the middle, then again after the end, after the batch was folded, and after a
    restart."""
    asked = chats(LINES, "read")
    for place in range(0, LINES, 50):
        asked[place] = Asked(f"bad-{place}", b'{"model":"m","messages":[],"seed":%d}' % place)
        asked[place + 9] = chat(f"poison-{place}", f"{POISON} {place}")
    config = config_for(slow.base_url, fixed_in_flight=8) | {"batches": {"max_attempts": 1}}
    server = ServerProcess(tmp_path, config)
    server.start()
    try:
        batch_id = upload(server.client(), jsonl(asked), CHAT).id
        reader = LineReader(batch_id)
        while len(reader.told) < LINES // 4:
            reader.step(server, wait=20, limit=60)
        assert not reader.final
        server.kill()
        server.start()
        while not reader.final:
            reader.step(server, wait=20, limit=60)
        batch = finished(server.client(), batch_id, 60)
        output, error = output_of(server.client(), batch), errors_of(server.client(), batch)
        assert counts(batch) == (LINES, LINES - LINES // 25, LINES // 25)
        reader.check(server, output, error)
        await_fold(server)
        reader.check(server, output, error)
        server.stop()
        server.start()
        reader.check(server, output, error)
        assert [line["result"] for line in streamed(server, batch_id)] == [json.loads(line) for line in reader.told]
    finally:
        server.close()
        print(server.log[-4000:])  # shown when the test failed


def await_fold(server: ServerProcess) -> None:
    """Until the batch lies in runs, and its small segments have lost their bytes."""
    deadline = time.monotonic() + 60
    with closing(sqlite3.connect(f"file:{server.folder / DATABASE}?mode=ro", uri=True)) as database:
        while database.execute("select count(*) from ranges where not folded").fetchone() != (0,):
            assert time.monotonic() < deadline, "it was not folded"
            time.sleep(0.02)
        assert database.execute("select count(*) from segments where records is not null").fetchone() != (0,)
