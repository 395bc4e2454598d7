"""One simulator and one server for each module; a folder, a terminal and plain processes for each test."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from batchrouter.simulator import Match, Rule, Script, Then
from batchrouter.simulator.process import SimulatorProcess, running_simulator
from tests.acceptance.cli.rig import Shell
from tests.serving import KEY, ServerProcess, config_for, running_server
from tests.terminal.rig import Desk, environment

RULES = (
    Rule(match=Match(contains="poison"), then=Then(status=400, code="too_bad")),
    Rule(match=Match(contains="slowly"), then=Then(delay_s=300.0)),
    Rule(match=Match(contains="largely"), then=Then(shape="huge", size=1_000_000)),
)
"""Lines with `poison` fail; those with `slowly` never end by themselves, and answers to
`largely` have a megabyte."""

Lines = Callable[..., Path]


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorProcess]:
    with running_simulator(Script(rules=RULES)) as running:
        yield running


@pytest.fixture(scope="module")
def server(simulator: SimulatorProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    config = {**config_for(simulator.base_url), "server": {"shutdown_grace_s": 1}}
    with running_server(tmp_path_factory.mktemp("server"), config) as running:
        yield running


@pytest.fixture
def env(tmp_path: Path, server: ServerProcess) -> dict[str, str]:
    return environment(tmp_path, BATCHROUTER_URL=server.url, BATCHROUTER_API_KEY=KEY)


@pytest.fixture
def desk(tmp_path: Path, env: dict[str, str]) -> Iterator[Desk]:
    made = Desk(tmp_path, env)
    yield made
    made.close()


@pytest.fixture
def shell(tmp_path: Path, env: dict[str, str]) -> Iterator[Shell]:
    """Without a terminal."""
    made = Shell(tmp_path)
    made.env.update({name: env[name] for name in ("BATCHROUTER_URL", "BATCHROUTER_API_KEY", "LANG")})
    yield made
    made.close()


@pytest.fixture
def lines(tmp_path: Path) -> Lines:
    """Writes an input file: `lines(20, poison=5)` has 20 requests, of which the first of every five fails."""

    def write(count: int, *, name: str = "in.jsonl", poison: int = 0, slowly: int = 0, text: str = "") -> Path:
        path = tmp_path / name
        with path.open("w", encoding="utf-8") as file:
            for number in range(count):
                word = "poison" if poison and number % poison == 0 else "hello"
                word = "slowly" if number >= count - slowly else word
                file.write(
                    json.dumps(request(number, f"{word} {tmp_path.name} {name} {number} {text}"), ensure_ascii=False)
                    + "\n"
                )
        return path

    return write


def request(number: int, content: str) -> dict[str, Any]:
    body = {"model": ("a", "b")[number % 2], "messages": [{"role": "user", "content": content}]}
    return {"custom_id": f"zeile-ü-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}


def ids(path: Path) -> list[str]:
    return [json.loads(line)["custom_id"] for line in path.read_text(encoding="utf-8").splitlines()]


def done_of(server: ServerProcess, batch_id: str) -> int:
    """How many lines of it have ended."""
    counts = server.ask("GET", f"/v1/batches/{batch_id}")["request_counts"]
    return int(counts["completed"] + counts["failed"])
