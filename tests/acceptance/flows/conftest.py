"""One simulator and one server for all flows that ask nothing special of them; each test is a tenant of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from batchrouter.simulator import Match, Rule, Script, Then
from batchrouter.simulator.process import SimulatorProcess, running_simulator
from tests.serving import ServerProcess, running_server

SEPARATORS = "tell me about line separators"
POISON = "this is poison"
SLOW = "take your time"
UNHURRIED = "no hurry"
WINDOW, WINDOW_S = "3s", 3
"""Beside the usual 24h."""

SCRIPT = Script(
    rules=(
        Rule(match=Match(contains=SEPARATORS), then=Then(shape="u2028")),
        Rule(match=Match(contains=POISON), then=Then(status=500)),
        Rule(match=Match(contains=SLOW), then=Then(delay_s=120)),
        Rule(match=Match(contains=UNHURRIED), then=Then(delay_s=0.3)),
    )
)


@pytest.fixture(scope="session")
def simulator() -> Iterator[SimulatorProcess]:
    with running_simulator(SCRIPT) as running:
        yield running


@pytest.fixture(scope="session")
def server(simulator: SimulatorProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Three providers, as FastRouter's users name them, and `sim` for whatever names none."""
    upstream = {"type": "openai", "base_url": simulator.base_url}
    config = {
        "providers": {"sim": upstream, "openai": upstream, "anthropic": upstream},
        "default_provider": "sim",
        "batches": {"completion_windows": ["24h", WINDOW], "max_attempts": 3},
    }
    with running_server(tmp_path_factory.mktemp("flows"), config) as running:
        yield running


@pytest.fixture
def key(server: ServerProcess, request: pytest.FixtureRequest) -> str:
    """A key of a tenant of this test's own."""
    return server.key_of(request.node.name[:100].translate({ord(c): "." for c in "[]/ "}))


@pytest.fixture
def client(server: ServerProcess, key: str) -> Iterator[openai.OpenAI]:
    with server.client(key) as made:
        yield made


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where a test may write the file that it uploads."""
    return tmp_path / "requests.jsonl"
