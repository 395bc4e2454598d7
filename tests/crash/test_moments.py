"""`kill -9` at the moments that are not the middle: during an upload, right after create, while a short batch begins
and ends. What was told to the client holds; what was not yet told leaves nothing behind."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from batchrouter.simulator import Script
from batchrouter.simulator.process import SimulatorProcess, running_simulator
from batchrouter.simulator.script import Uniform
from tests.lines import CHAT, chats, check_output, counts, finished, jsonl, output_of
from tests.serving import KEY, ServerProcess, config_for, running_server

CYCLES = 5


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorProcess]:
    with running_simulator(Script(latency=Uniform(low=0.0, high=0.1))) as running:
        yield running


@pytest.fixture(scope="module")
def server(simulator: SimulatorProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with running_server(tmp_path_factory.mktemp("moments"), config_for(simulator.base_url)) as running:
        yield running


def test_a_kill_during_an_upload_leaves_no_file(server: ServerProcess) -> None:
    client = server.client()
    kept = client.files.create(file=jsonl(chats(10, "kept")), purpose="batch")
    before = blobs(server)
    content = jsonl(chats(40_000, "half"))
    head = (
        f"POST /v1/files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n"
        f"Content-Type: multipart/form-data; boundary=B\r\nContent-Length: {len(content) + 1000}\r\n\r\n"
        '--B\r\nContent-Disposition: form-data; name="file"; filename="half.jsonl"\r\n\r\n'
    )
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(head.encode() + content[: len(content) * 3 // 4])
        wait_for(lambda: sum(blobs(server).values()) > sum(before.values()) + 1_000_000)
        server.kill()
    server.start()
    assert [file.id for file in client.files.list()] == [kept.id]
    # Half a file is garbage, and whoever has the folder's lock knows that its writer is dead: it goes at once.
    wait_for(lambda: blobs(server) == before)
    assert client.files.content(kept.id).read() == jsonl(chats(10, "kept"))


def test_a_file_and_a_batch_that_were_told_are_there_after_a_kill(server: ServerProcess) -> None:
    client = server.client()
    asked = chats(300, "told")
    file = client.files.create(file=jsonl(asked), purpose="batch")
    server.kill()
    server.start()
    assert client.files.retrieve(file.id) == file
    made = client.batches.create(
        input_file_id=file.id, endpoint=CHAT, completion_window="24h", metadata={"told": "yes"}
    )
    server.kill()
    server.start()
    again = client.batches.retrieve(made.id)
    assert (again.created_at, again.input_file_id, again.metadata) == (made.created_at, file.id, {"told": "yes"})
    batch = finished(client, made.id)
    assert counts(batch) == (300, 300, 0)
    check_output(asked, output_of(client, batch))


def test_short_batches_survive_a_kill_wherever_it_falls(server: ServerProcess, chance: random.Random) -> None:
    """Between create and the end of a batch lie planning, sending, closing and folding; each cycle falls somewhere."""
    client = server.client()
    for cycle in range(CYCLES):
        asked = chats(200, f"short-{cycle}-{chance.random()}")
        file = client.files.create(file=jsonl(asked), purpose="batch")
        made = client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
        time.sleep(chance.uniform(0.0, 0.35))
        seen = client.batches.retrieve(made.id)
        server.kill()
        server.start()
        then = client.batches.retrieve(made.id)
        print(f"cycle {cycle}: {seen.status} {counts(seen)} before the kill, {then.status} {counts(then)} after it")
        assert counts(then)[1] >= counts(seen)[1]
        if seen.status == "completed":
            assert then == seen
        batch = finished(client, made.id)
        assert (batch.status, counts(batch)) == ("completed", (200, 200, 0))
        check_output(asked, output_of(client, batch))
        assert files_named(client, f"{made.id}_output.jsonl") == 1


def blobs(server: ServerProcess) -> dict[Path, int]:
    """Every file of the blob folder with its size, unfinished ones too."""
    folder = server.folder / "blobs"
    found = {}
    for path in folder.rglob("*"):
        try:
            if path.is_file():
                found[path.relative_to(folder)] = path.stat().st_size
        except FileNotFoundError:  # renamed or swept while we looked
            continue
    return found


def wait_for(ready: object, within_s: float = 10.0) -> None:
    assert callable(ready)
    deadline = time.monotonic() + within_s
    while not ready():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def files_named(client: openai.OpenAI, filename: str) -> int:
    return sum(1 for file in client.files.list(purpose="batch_output") if file.filename == filename)
