"""The disk is full while a batch runs: nothing that was answered is lost or asked for again, and in the end it ends."""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
import requests

from batchrouter.simulator import Match, Rule, Script, Then
from batchrouter.simulator.process import SimulatorProcess, running_simulator
from tests.acceptance.bad_input.stored import bytes_kept, rows
from tests.lines import CHAT, chat, counts, finished, jsonl, output_of, records, upload
from tests.serving import KEY, ServerProcess, config_for, running_server

LINES, ANSWER = 700, 100_000  # more than the budget of bytes in flight can hold unwritten
SMALL, LARGE = "12m", "256m"
FULL = "no room"


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A small file system of this test's own, where the data folder will be."""
    folder = tmp_path_factory.mktemp("disk") / "data"
    folder.mkdir()
    made = _run("mount", "-t", "tmpfs", "-o", f"size={SMALL},mode=700", "tmpfs", str(folder))
    if made is None or made.returncode:
        pytest.skip("needs the right to mount a tmpfs, which only root has")
    try:
        yield folder
    finally:
        _run("umount", "--lazy", str(folder))


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorProcess]:
    rule = Rule(match=Match(contains="at length"), then=Then(shape="huge", size=ANSWER))
    with running_simulator(Script(rules=(rule,))) as running:
        yield running


@pytest.fixture(scope="module")
def server(simulator: SimulatorProcess, disk: Path) -> Iterator[ServerProcess]:
    with running_server(disk.parent, config_for(simulator.base_url, fixed_in_flight=16)) as running:
        yield running


def test_a_full_disk_stops_sending_and_loses_nothing(
    simulator: SimulatorProcess, server: ServerProcess, client: openai.OpenAI, disk: Path
) -> None:
    """Uploads get 507 and leave nothing, reading goes on; with room the batch ends, each line sent and told once."""
    asked = [chat(f"line-{i}", f"tell me at length about {i}") for i in range(LINES)]
    spare = client.files.create(file=jsonl(asked[:1]), purpose="batch")
    batch = upload(client, jsonl(asked))
    sent = stands_still(simulator, server)
    assert 0 < sent < LINES
    batch = client.batches.retrieve(batch.id)
    assert (batch.status, batch.error_file_id) == ("in_progress", None)
    assert counts(batch)[1] < sent
    assert client.files.content(spare.id).read() == jsonl(asked[:1])

    with (disk / "filler").open("wb", buffering=0) as filler:
        fill(filler)
    kept, before = bytes_kept(server), rows(server)
    for size in (10, 5_000_000):
        check_507(post(server, "/files", files={"file": ("a", b'{"a":1}\n' * size)}))
    assert (bytes_kept(server), rows(server)) == (kept, before)
    wanted = {"input_file_id": spare.id, "endpoint": CHAT}
    # The log of the database may have room for a few more.
    made = 0
    while (reply := post(server, "/batches", json=wanted)).status_code == 200:
        made += 1
    check_507(reply)
    assert rows(server)["batches"] == before["batches"] + made
    assert "Traceback" not in server.log
    assert simulator.stats()["requests"] == sent

    assert _run("mount", "-o", f"remount,size={LARGE}", str(disk))
    batch = finished(client, batch.id)
    assert (batch.status, counts(batch)) == ("completed", (LINES, LINES, 0))
    found = records(output_of(client, batch))
    assert [record["custom_id"] for record in found] == [each.custom_id for each in asked]
    for record, each in zip(found, asked, strict=True):
        body = record["response"]["body"]
        body.pop("simulated")
        assert body == each.answer
    assert Counter(entry.key for entry in simulator.log()) == dict.fromkeys((each.key for each in asked), 1)
    assert client.files.create(file=jsonl(asked), purpose="batch").bytes == len(jsonl(asked))


def stands_still(simulator: SimulatorProcess, server: ServerProcess) -> int:
    """Wait until the server says that it cannot write, and sends no more. Returns how many requests were sent."""
    deadline = time.monotonic() + 15
    sent, since = -1, time.monotonic()
    while time.monotonic() - since < 0.7 or FULL not in server.log:
        now = simulator.stats()["requests"]
        if now != sent:
            sent, since = now, time.monotonic()
        assert time.monotonic() < deadline, server.log[-2000:]
        time.sleep(0.05)
    return sent


def post(server: ServerProcess, path: str, **content: Any) -> requests.Response:
    headers = {"Authorization": f"Bearer {KEY}"}
    return requests.post(f"{server.base_url}{path}", headers=headers, timeout=30, **content)


def check_507(reply: requests.Response) -> None:
    assert reply.status_code == 507, reply.text
    error = reply.json()["error"]
    assert (error["code"], error["type"], error["param"]) == ("insufficient_storage", "server_error", None)
    assert reply.headers["x-should-retry"] == "false"


def fill(filler: object) -> None:
    """Write until not one byte more can be written."""
    for size in (1 << 16, 1 << 12, 1):
        try:
            while True:
                filler.write(b"x" * size)  # type: ignore[attr-defined]
        except OSError:
            continue


def _run(*command: str) -> subprocess.CompletedProcess[bytes] | None:
    try:
        return subprocess.run(command, capture_output=True, timeout=10, check=False)
    except FileNotFoundError:
        return None
