"""Models that hang, are full or refuse the key: the others go on, each stuck one says why, and goes on when it can."""

from __future__ import annotations

from collections.abc import Iterator

import openai
import pytest

from batchrouter.simulator import Match, Rule, Script, Then
from batchrouter.simulator.process import SimulatorProcess, running_simulator
from tests.lines import (
    Asked,
    chats,
    check_output,
    counts,
    errors_of,
    finished,
    jsonl,
    lanes,
    output_of,
    records,
    until,
    upload,
)
from tests.serving import ServerProcess, running_server

EACH = 60
RETRY_AFTER_S = 2.0
WELL = ("well-a", "well-b")
SICK = Script(
    rules=(
        Rule(match=Match(model="hangs"), then=Then(fault="hang")),
        Rule(match=Match(model="full"), then=Then(status=429, code="rate_limit_exceeded", retry_after_s=RETRY_AFTER_S)),
        Rule(match=Match(model="refused"), then=Then(status=401, code="invalid_api_key")),
        Rule(match=Match(model="dead"), then=Then(fault="reset")),
        Rule(match=Match(contains="poison"), then=Then(status=500)),
    )
)


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorProcess]:
    with running_simulator(SICK) as running:
        yield running


@pytest.fixture(scope="module")
def server(simulator: SimulatorProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Calls may take a second, so that a hanging model is found out in a test's time."""
    upstream = {"type": "openai", "base_url": simulator.base_url, "timeout": 1.0}
    config = {"providers": {"sim": upstream}, "batches": {"max_attempts": 3}}
    with running_server(tmp_path_factory.mktemp("stuck"), config) as running:
        yield running


def test_stuck_lanes_say_why_hold_up_nobody_and_go_on_when_cured(
    simulator: SimulatorProcess, server: ServerProcess, client: openai.OpenAI
) -> None:
    models = ["hangs", WELL[0], "full", "refused", WELL[1], "dead"]
    by_model = {model: chats(EACH, model, model) for model in models}
    asked: list[Asked] = [line for row in zip(*by_model.values(), strict=True) for line in row]
    made = upload(client, jsonl(asked))

    # The healthy lanes end while the others hang, wait and are refused.
    batch = until(client, made.id, lambda batch: counts(batch)[1] == 2 * EACH, 5)
    assert batch.status == "in_progress"
    done = {name: lane["done"] for name, lane in lanes(batch).items()}
    assert done == {f"sim/{model}": EACH if model in WELL else 0 for model in models}

    # Each of the others says why.
    told = {
        "sim/hangs": ("unreachable", "no whole reply: the reply did not come in time"),
        "sim/full": ("waiting", "the upstream has no room (429 rate_limit_exceeded)"),
        "sim/refused": ("paused", "the upstream refuses the key (401 invalid_api_key): set a valid one"),
        "sim/dead": ("unreachable", "no whole reply: the connection ended before the reply"),
    }

    def says(name: str, lane: dict[str, object]) -> bool:
        return (lane["state"], lane["reason"]) == told[name] and lane["until"] is not None

    batch = until(client, made.id, lambda batch: all(says(name, lanes(batch)[name]) for name in told), 10)
    assert counts(batch) == (len(asked), 2 * EACH, 0)
    for name, lane in lanes(batch).items():
        assert lane["waiting"] + lane["in_flight"] + lane["retrying"] + lane["done"] == EACH, name
    sent = [entry.model for entry in simulator.log()]
    # Nobody is hammered meanwhile: a burst at first, then one at a time.
    assert {model: sent.count(model) for model in WELL} == dict.fromkeys(WELL, EACH)
    assert sent.count("refused") <= EACH
    assert sent.count("dead") <= 4 * EACH  # a lost connection may have been an idle one: three resends a line
    assert sent.count("hangs") <= 2 * EACH
    assert sent.count("full") <= 3 * EACH

    # Cured, those that a person need not mend go on by themselves.
    simulator.set_script(Script())
    batch = until(client, made.id, lambda batch: counts(batch)[1] == 5 * EACH, 20)
    assert batch.status == "in_progress"
    assert {name for name, lane in lanes(batch).items() if lane["done"] < EACH} == {"sim/refused"}
    assert lanes(batch)["sim/refused"]["state"] == "paused"
    assert lanes(batch)["sim/full"]["reason"] is None

    # A refused key is asked again at once after a restart, as after a change of configuration.
    server.stop()
    server.start()
    batch = finished(client, made.id, 10)
    assert (batch.status, counts(batch)) == ("completed", (len(asked), len(asked), 0))
    check_output(asked, output_of(client, batch))
    assert errors_of(client, batch) == b""


def test_a_line_that_always_fails_ends_after_its_tries_and_holds_up_nobody(
    simulator: SimulatorProcess, client: openai.OpenAI
) -> None:
    simulator.set_script(SICK)
    asked = chats(200, "beside")
    poison = chats(1, "poison")[0]
    made = upload(client, jsonl([*asked[:100], poison, *asked[100:]]))
    until(client, made.id, lambda batch: counts(batch) == (201, 200, 0), 5)
    batch = finished(client, made.id, 10)
    assert (batch.status, counts(batch)) == ("completed", (201, 200, 1))
    check_output(asked, output_of(client, batch))
    (failed,) = records(errors_of(client, batch))
    assert failed["custom_id"] == poison.custom_id
    assert failed["error"] is None
    assert failed["response"]["status_code"] == 500
    assert failed["response"]["body"]["error"]["type"]
    assert [entry.status for entry in simulator.log() if entry.key == poison.key] == [500] * 3
