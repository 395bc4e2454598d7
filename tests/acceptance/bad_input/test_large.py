"""Requests and answers of many megabytes each: they pass one after another, in bounded memory."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import urlsplit

import openai
import pytest

from batchrouter.simulator import Match, Rule, Script, Then
from batchrouter.simulator.process import SimulatorProcess, running_simulator
from tests.acceptance.bad_input.stored import memory_peak_mb
from tests.acceptance.bad_input.test_lines import upload_stream
from tests.lines import CHAT, chat, counts, finished, jsonl, upload
from tests.serving import ServerProcess, running_server

MEMORY_MB = 300
REQUESTS, REQUEST = 40, 8 * 1024 * 1024
LARGE, LARGE_ANSWERS, LARGE_ANSWER = "at length", 300, 1_000_000
HUGE, HUGE_ANSWERS, HUGE_ANSWER = "everything", 12, 20_000_000


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorProcess]:
    rules = (
        Rule(match=Match(contains=LARGE), then=Then(shape="huge", size=LARGE_ANSWER)),
        Rule(match=Match(contains=HUGE), then=Then(shape="huge", size=HUGE_ANSWER)),
    )
    with running_simulator(Script(rules=rules)) as running:
        yield running


@pytest.fixture(scope="module")
def server(simulator: SimulatorProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    upstream = {"type": "openai", "base_url": simulator.base_url}
    config = {
        "providers": {"sim": upstream, "pair": {**upstream, "max_in_flight": 2, "start_in_flight": 2}},
        "default_provider": "sim",
        "batches": {"max_bytes": 1 << 30},
    }
    with running_server(tmp_path_factory.mktemp("large"), config) as running:
        yield running


def test_huge_requests_pass_in_bounded_memory(
    simulator: SimulatorProcess, server: ServerProcess, client: openai.OpenAI, key: str
) -> None:
    """40 bodies of 8 MiB, each sent once and whole."""
    padding = "x" * REQUEST
    one = chat("0000", "number 0000 " + padding)

    def content() -> Iterator[bytes]:
        for number in range(REQUESTS):
            yield one.line.replace(b"0000", b"%04d" % number)

    sent = len(simulator.log())
    file_id = upload_stream(server, key, content(), REQUESTS * len(one.line))
    batch = client.batches.create(input_file_id=file_id, endpoint=CHAT, completion_window="24h")
    batch = finished(client, batch.id)
    assert (batch.status, counts(batch)) == ("completed", (REQUESTS, REQUESTS, 0))
    assert len({entry.key for entry in simulator.log(sent)}) == len(simulator.log(sent)) == REQUESTS
    assert memory_peak_mb(server.pid) < MEMORY_MB


def test_large_answers_pass_in_bounded_memory(server: ServerProcess, client: openai.OpenAI) -> None:
    """300 answers of 1 MB at whatever pace the server takes: it soon learns how large they are."""
    asked = [chat(f"large-{i}", f"tell me {LARGE} about {i}") for i in range(LARGE_ANSWERS)]
    batch = finished(client, upload(client, jsonl(asked)).id)
    assert (batch.status, counts(batch)) == ("completed", (LARGE_ANSWERS, LARGE_ANSWERS, 0))
    assert memory_peak_mb(server.pid) < MEMORY_MB


def test_huge_answers_stream_to_whoever_downloads_them(server: ServerProcess, client: openai.OpenAI, key: str) -> None:
    """Answers of 20 MB from a provider that is asked for two at a time, each of them whole."""
    asked = [chat(f"huge-{i}", f"tell me {HUGE} about {i}", "pair/test-model") for i in range(HUGE_ANSWERS)]
    asked = [replace(each, sent=each.body.replace(b"pair/", b"")) for each in asked]
    batch = finished(client, upload(client, jsonl(asked)).id)
    assert (batch.status, counts(batch)) == ("completed", (HUGE_ANSWERS, HUGE_ANSWERS, 0))
    before_mb = memory_peak_mb(server.pid)
    headers = {"Authorization": f"Bearer {key}"}
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
    connection.request("GET", f"/v1/files/{batch.output_file_id}/content", headers=headers)
    reply = connection.getresponse()
    for each in asked:
        text = reply.readline()
        assert len(text) > HUGE_ANSWER
        record = json.loads(text)
        body = record["response"]["body"]
        body.pop("simulated")
        assert (record["custom_id"], body) == (each.custom_id, each.answer)
    assert reply.readline() == b""
    connection.close()
    assert memory_peak_mb(server.pid) < before_mb + 20
