"""One simulator and one server that logs all it can, for everybody here who only sends wrong things."""

from __future__ import annotations

import re
from collections.abc import Iterator

import openai
import pytest

from batchrouter.simulator.process import SimulatorProcess, running_simulator
from tests.lines import chats, check_output, finished, jsonl, output_of, upload
from tests.serving import ServerProcess, running_server

UPSTREAM_KEY = "sk-upstream-9f8e7d6c5b4a39281706"
EMBEDDING_INPUTS = 1_000


@pytest.fixture(scope="session")
def simulator() -> Iterator[SimulatorProcess]:
    with running_simulator(arguments=["--api-key", UPSTREAM_KEY]) as running:
        yield running


@pytest.fixture(scope="session")
def server(simulator: SimulatorProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Two providers, each with models of its own, and none by default: so a model can be unknown."""
    upstream = {"type": "openai", "base_url": simulator.base_url, "api_key": UPSTREAM_KEY}
    config = {
        "providers": {"sim": {**upstream, "models": ["test-*"]}, "other": {**upstream, "models": ["other-*"]}},
        "batches": {"max_embedding_inputs": EMBEDDING_INPUTS},
    }
    with running_server(tmp_path_factory.mktemp("bad-input"), config, ["--log-level", "debug"]) as running:
        yield running


@pytest.fixture
def key(server: ServerProcess, request: pytest.FixtureRequest) -> str:
    """A key of a tenant of this test's own."""
    return server.key_of(re.sub(r"[^A-Za-z0-9_-]", ".", request.node.name[:100]))


@pytest.fixture
def client(server: ServerProcess, key: str) -> Iterator[openai.OpenAI]:
    with server.client(key) as made:
        yield made


@pytest.fixture(scope="module", autouse=True)
def _others_are_served(server: ServerProcess, request: pytest.FixtureRequest) -> Iterator[None]:
    """After all that a module does to the server, somebody else's batch runs as if nothing had been."""
    yield
    asked = chats(20, request.module.__name__)
    with server.client(server.key_of("others")) as client:
        batch = finished(client, upload(client, jsonl(asked)).id)
        check_output(asked, output_of(client, batch))
