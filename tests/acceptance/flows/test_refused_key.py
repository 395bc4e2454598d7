"""A native lane whose key is refused: it says so, burns no line, and goes on when the key is good again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import openai
import pytest

from batchrouter.simulator import Match, Rule, Script, Then
from batchrouter.simulator.process import SimulatorProcess, running_simulator
from tests.acceptance.flows.two_upstreams import anthropic_at, calls, file_of, line, openai_at
from tests.lines import counts, finished, until, upload
from tests.serving import ServerProcess, running_server

NO_KEY = Script(rules=(Rule(match=Match(path="/v1/*", native=False), then=Then(status=401, code="invalid_api_key")),))
PROVIDERS = {"openai": openai_at, "anthropic": anthropic_at}
LINES = 30


@dataclass(frozen=True)
class Refused:
    """A server that has heard the refusals, and a batch for each provider."""

    server: ServerProcess
    client: openai.OpenAI
    simulators: dict[str, SimulatorProcess]
    batches: dict[str, str]

    def lane(self, provider: str) -> dict[str, Any]:
        told = self.server.ask("GET", f"/v1/batches/{self.batches[provider]}")["batchrouter"]["lanes"]
        return next((lane for lane in told if lane["mode"] == "batch"), {"state": "unknown"})


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Refused]:
    with ExitStack() as stack:
        simulators = {name: stack.enter_context(running_simulator(NO_KEY)) for name in PROVIDERS}
        prices = {"*": {"input": 1, "output": 2}}
        config = {
            "providers": {name: at(simulators[name], prices=prices) for name, at in PROVIDERS.items()},
            "batches": {"mode": "batch"},
        }
        server = stack.enter_context(running_server(tmp_path_factory.mktemp("refused"), config))
        client = stack.enter_context(server.client())
        batches = {
            name: upload(client, file_of([line(n, "any", provider=name) for n in range(LINES)])).id
            for name in PROVIDERS
        }
        yield Refused(server, client, simulators, batches)


@pytest.mark.parametrize("provider", list(PROVIDERS))
def test_a_refused_key_pauses_the_lane_with_its_reason_and_burns_no_line(refused: Refused, provider: str) -> None:
    until(refused.client, refused.batches[provider], lambda _: refused.lane(provider)["state"] == "paused", 10)
    lane = refused.lane(provider)
    assert (lane["in_job"] + lane["waiting"], lane["done"]) == (LINES, 0)
    assert lane["until"] is not None
    assert "refuses the key (401" in lane["reason"]
    batch = refused.client.batches.retrieve(refused.batches[provider])
    assert (batch.status, counts(batch)) == ("in_progress", (LINES, 0, 0))
    assert calls(refused.simulators[provider]) == []
    # Nobody is hammered: the model list, and one try.
    assert len([entry for entry in refused.simulators[provider].log() if entry.status == 401]) <= 3


def test_with_a_good_key_it_goes_on_at_once_after_a_restart(refused: Refused) -> None:
    for simulator in refused.simulators.values():
        simulator.set_script(Script())
    refused.server.stop()
    refused.server.start()
    for batch_id in refused.batches.values():
        batch = finished(refused.client, batch_id, 8)
        assert (batch.status, counts(batch)) == ("completed", (LINES, LINES, 0))
