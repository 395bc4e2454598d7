"""Two hundred connections that begin and do not end, while a batch runs and others poll."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing

import openai
import pytest

from batchrouter.simulator import Script
from batchrouter.simulator.process import SimulatorProcess, running_simulator
from batchrouter.simulator.script import Fixed
from tests.acceptance.bad_input.raw import connect, head
from tests.acceptance.bad_input.stored import bytes_kept, more_rows, nothing_unfinished, rows
from tests.lines import chats, check_output, finished, jsonl, output_of, upload
from tests.serving import ServerProcess, config_for, running_server

SLOW = 200
LINES, LATENCY_S, IN_FLIGHT = 1_000, 0.1, 100
POLL_S = 0.5
"""What a poll may take at most; it takes some milliseconds."""


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorProcess]:
    with running_simulator(Script(latency=Fixed(LATENCY_S))) as running:
        yield running


@pytest.fixture(scope="module")
def server(simulator: SimulatorProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    config = config_for(simulator.base_url, fixed_in_flight=IN_FLIGHT)
    with running_server(tmp_path_factory.mktemp("slow"), config) as running:
        yield running


def test_slow_clients_hold_up_nobody_and_leave_nothing(server: ServerProcess, client: openai.OpenAI, key: str) -> None:
    """Half-sent heads, bodies of JSON, uploads, and downloads that nobody reads; each gets a byte now and then."""
    asked = chats(LINES, "slow")
    earlier = finished(client, upload(client, jsonl(asked)).id)
    assert earlier.output_file_id is not None
    kept, before = bytes_kept(server), rows(server)
    form = b'--B\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n{"custom_id":"'
    begun = [
        head("GET", "/v1/batches", key=key)[:-2],
        head("POST", "/v1/batches", key=key, content_length="1000") + b'{"metadata":{"a":"',
        head("POST", "/v1/files", key=key, content_length="100000", content_type="multipart/form-data; boundary=B")
        + form,
        head("GET", f"/v1/files/{earlier.output_file_id}/content", key=key),
    ]
    with ExitStack() as open_ones:
        slow: list[socket.socket] = []
        for number in range(SLOW):
            connection = open_ones.enter_context(closing(connect(server)))
            connection.sendall(begun[number % len(begun)])
            slow.append(connection)
        batch = upload(client, jsonl(asked))
        longest_s, polls = 0.0, 0
        while batch.status not in ("completed", "failed"):
            for connection in slow[polls % 3 :: len(begun)]:
                connection.sendall(b"x")
            asked_s = time.monotonic()
            batch = client.batches.retrieve(batch.id)
            longest_s, polls = max(longest_s, time.monotonic() - asked_s), polls + 1
        assert longest_s < POLL_S
        check_output(asked, output_of(client, batch))
    nothing_unfinished(server)
    assert {name for name in bytes_kept(server) - kept if name.startswith("blobs/files/")} == {
        f"blobs/files/{batch.input_file_id}",
        f"blobs/files/{batch.input_file_id}.idx",
    }
    more = more_rows(server, before)
    assert (more["files"], more["batches"]) == (2, 1)
