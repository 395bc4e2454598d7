"""Dead keys, lanes that cannot serve, limits of money, and files whose lines all fail: what goes on, what stops, and
what people are told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import openai
import pytest

from batchrouter.simulator import Entry, Match, Rule, Script, Then
from batchrouter.simulator.jobscript import Batches, JobMatch, JobRule, Life
from batchrouter.simulator.process import SimulatorProcess, running_simulator
from batchrouter.simulator.script import Fixed
from tests.acceptance.flows.two_upstreams import CHAT, anthropic_at, calls, file_of, line, number_of, openai_at, paid
from tests.lines import counts, errors_of, finished, output_of, records, until
from tests.serving import ServerProcess, running_server

PRICES = {"*": {"input": 1, "output": 2, "batch_discount": 0.5}}
WINDOW, MARGIN_S = "11s", 6
PAUSE_AFTER, AT_ONCE = 20, 4
LIMIT, TWICE_LIMIT = 0.0006, 0.0005
"""Dollars: less than the lines of a batch would cost; more, but less than if all were reserved twice at their most."""
SCRIPTS = {
    "pool": (Script(latency=Fixed(seconds=0.05)), ["--api-key", "sk-good"]),
    "locked": (Script(), ["--api-key", "sk-another"]),
    "gone": (Script(), ["--models", "other*"]),
    "claude": (Script(), []),
    "bad": (Script(rules=(Rule(match=Match(model="always-bad"), then=Then(status=400, code="invalid_value")),)), []),
    "money": (
        Script(
            latency=Fixed(seconds=0.02),
            batches=Batches(jobs=(JobRule(match=JobMatch(model="stalls"), then=Life(stall_after=3, cancel_s=5.5)),)),
        ),
        [],
    ),
    "spare": (Script(), []),
}


@dataclass(frozen=True)
class House:
    server: ServerProcess
    client: openai.OpenAI
    simulators: dict[str, SimulatorProcess]
    begun: list[int]
    early: dict[str, Begun]

    def begin(
        self,
        provider: str,
        model: str,
        count: int = 60,
        mode: str = "realtime",
        *,
        window: str = "24h",
        max_cost: str | None = None,
        **body: Any,
    ) -> Begun:
        """Upload and create; `mode` "both" is real time for every second line."""
        numbers = range(self.begun[-1], self.begun[-1] + count)
        self.begun.append(numbers.stop)
        modes = ("batch", "realtime") if mode == "both" else (mode,)
        lines = [line(n, model, provider=provider, mode=modes[n % len(modes)], body=body) for n in numbers]
        file = self.client.files.create(file=file_of(lines), purpose="batch")
        metadata = None if max_cost is None else {"max_cost": max_cost}
        made = self.client.batches.create(
            input_file_id=file.id, endpoint=CHAT, completion_window=window, metadata=metadata
        )
        return Begun(made.id, numbers)

    def told(self, begun: Begun) -> dict[tuple[str, str, str], dict[str, Any]]:
        """Lanes by provider, model and mode."""
        told = self.server.ask("GET", f"/v1/batches/{begun.id}")["batchrouter"]["lanes"]
        return {(lane["provider"], lane["model"], lane["mode"]): lane for lane in told}

    def waits(self, begun: Begun, lane: tuple[str, str, str]) -> dict[str, Any]:
        """The lane, once it tells why lines wait."""
        until(self.client, begun.id, lambda _: bool(self.told(begun).get(lane, {}).get("reason")), 10)
        return self.told(begun)[lane]

    def log(self, begun: Begun, *providers: str) -> list[Entry]:
        log = calls(*[self.simulators[name] for name in providers or self.simulators])
        return [entry for entry in log if number_of(entry) in begun.numbers]


@dataclass(frozen=True)
class Begun:
    id: str
    numbers: range


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with ExitStack() as stack:
        simulators = {
            name: stack.enter_context(running_simulator(script, ["--keep-bodies", *options]))
            for name, (script, options) in SCRIPTS.items()
        }
        providers = {
            name: (anthropic_at if name == "claude" else openai_at)(each, prices=PRICES)
            for name, each in simulators.items()
        }
        del providers["pool"]["api_key"]
        providers["pool"]["keys"] = [{"name": "dead", "api_key": "sk-dead"}, {"name": "good", "api_key": "sk-good"}]
        providers["pool"]["fixed_in_flight"] = providers["bad"]["fixed_in_flight"] = AT_ONCE
        config = {
            "providers": providers,
            "models": {"other-model": "spare/other-model"},
            "fallbacks": {
                model: ["spare/other-model"]
                for model in ("locked/first", "gone/first", "gone/native", "claude/claude-haiku-4-5", "locked/native")
            },
            "batches": {
                "completion_windows": ["24h", WINDOW],
                "overtake_margin": MARGIN_S,
                "pause_after_failures": PAUSE_AFTER,
            },
        }
        server = stack.enter_context(running_server(tmp_path_factory.mktemp("pools"), config))
        house = House(server, stack.enter_context(server.client()), simulators, [0], {})
        # Those that wait most of their time, so that they wait together.
        house.early["locked"] = house.begin("locked", "native", 9, "batch", window=WINDOW)
        house.early["stalls"] = house.begin(
            "money", "stalls", 12, "batch", window=WINDOW, max_cost=str(TWICE_LIMIT), max_tokens=8
        )
        house.early["both"] = house.begin("money", "dear", 60, "both", max_cost=str(LIMIT), max_tokens=8)
        yield house


def test_lines_of_a_native_lane_whose_key_is_refused_move_on_in_time(house: House) -> None:
    """They wait for the key until the deadline is near."""
    begun = house.early["locked"]
    told = house.waits(begun, ("locked", "native", "batch"))
    assert (told["state"], told["in_job"]) == ("paused", 9)
    assert "refuses the key" in told["reason"]
    batch = finished(house.client, begun.id)
    assert (batch.status, counts(batch)) == ("completed", (9, 9, 0))
    output = records(output_of(house.client, batch))
    assert {each["batchrouter"]["fallback"] for each in output} == {"spare/other-model"}


def test_a_pool_goes_on_with_its_other_key_and_says_which_one_is_dead(house: House) -> None:
    begun = house.begin("pool", "any", 200)
    told = house.waits(begun, ("pool", "any", "realtime"))
    assert told["state"] == "open"
    assert told["reason"].startswith("1 of 2 keys is paused (dead): the upstream refuses the key (401")
    batch = finished(house.client, begun.id)
    assert (batch.status, counts(batch)) == ("completed", (200, 200, 0))
    log = house.simulators["pool"].log()
    assert Counter(entry.status for entry in log if entry.path == CHAT)[200] == 200
    assert set(paid([entry for entry in log if entry.status == 200]).values()) == {1}
    # Those in flight when the first refusal came, and a probe.
    assert sum(1 for entry in log if entry.status == 401) <= AT_ONCE + 2


@pytest.mark.parametrize(
    ("provider", "model", "mode", "body"),
    [
        pytest.param("locked", "first", "realtime", {}, id="key-refused"),
        pytest.param("gone", "first", "realtime", {}, id="model-gone"),
        pytest.param("gone", "native", "batch", {}, id="job-rejected-for-its-model"),
        pytest.param("claude", "claude-haiku-4-5", "realtime", {"n": 2}, id="cannot-be-translated"),
        pytest.param("claude", "claude-haiku-4-5", "batch", {"n": 2}, id="cannot-be-translated-for-a-job"),
    ],
)
def test_lines_move_on_where_their_lane_cannot_serve_and_say_who_answered(
    house: House, provider: str, model: str, mode: str, body: dict[str, Any]
) -> None:
    begun = house.begin(provider, model, 60, mode, **body)
    batch = finished(house.client, begun.id)
    assert (batch.status, counts(batch)) == ("completed", (60, 60, 0))
    output = records(output_of(house.client, batch))
    assert [int(each["custom_id"].split()[1]) for each in output] == list(begun.numbers)
    told = {"model": model, "fallback": "spare/other-model"}
    assert [each.get("batchrouter") for each in output] == [told] * 60
    assert {each["response"]["body"]["model"] for each in output} == {"other-model"}
    assert paid(house.log(begun)) == Counter(begun.numbers)
    assert {entry.model for entry in house.log(begun) if entry.status == 200} == {"other-model"}
    assert house.told(begun)["spare", "other-model", "realtime"]["done"] == 60


@pytest.mark.parametrize("mode", ["realtime", "both"])
def test_a_limit_of_money_is_never_passed_and_told_on_the_lines_that_it_stopped(house: House, mode: str) -> None:
    limit = LIMIT
    begun = house.early.get(mode) or house.begin("money", "dear", 60, mode, max_cost=str(limit), max_tokens=8)
    batch = finished(house.client, begun.id, 60)
    spent = dollars(house.log(begun))
    output, errors = records(output_of(house.client, batch)), records(errors_of(house.client, batch))
    print(f"{mode}: {len(output)} of 60 lines for ${spent:.6f} of ${limit}")
    assert batch.status == "completed"
    assert spent <= limit
    assert spent >= 0.85 * limit
    assert len(output) + len(errors) == 60
    assert {each["response"]["body"]["error"]["code"] for each in errors} == {"max_cost_exceeded"}
    assert {each["response"]["status_code"] for each in errors} == {400}
    told = house.server.ask("GET", f"/v1/batches/{batch.id}")
    assert told["usage"]["cost"] == pytest.approx(spent, abs=1e-12)
    assert told["batchrouter"]["max_cost"] == limit


def test_a_limit_of_money_holds_where_lines_are_paid_twice(house: House) -> None:
    """A job that does not end is overtaken by force: what it may cost stays reserved beside what real time costs."""
    limit = TWICE_LIMIT
    begun = house.early["stalls"]
    batch = finished(house.client, begun.id, 30)
    log = house.log(begun)
    assert (batch.status, sum(counts(batch)[1:])) == ("completed", 12)
    assert Counter(entry.end for entry in log if entry.status == 200)["native"] == 3
    print(f"{counts(batch)[1]} of 12 lines for ${dollars(log):.6f} of ${limit}, {paid(log).total() - 12} twice")
    assert dollars(log) <= limit


def test_a_batch_without_a_known_price_is_refused_if_it_has_a_limit_of_money(house: House) -> None:
    with pytest.raises(openai.BadRequestError, match="max_cost"):
        house.begin("money", "dear", 3, max_cost="lots")


def test_a_file_whose_first_lines_all_fail_pauses_and_holds_up_nobody(house: House) -> None:
    begun = house.begin("bad", "always-bad", 400)
    told = house.waits(begun, ("bad", "always-bad", "realtime"))
    assert "lines of this batch all failed here (400 invalid_value)" in told["reason"]
    assert told["until"] is not None
    beside = house.begin("bad", "well", 60)
    assert counts(finished(house.client, beside.id)) == (60, 60, 0)
    assert PAUSE_AFTER <= len(house.log(begun, "bad")) <= PAUSE_AFTER + AT_ONCE
    house.client.batches.cancel(begun.id)
    batch = finished(house.client, begun.id)
    assert batch.status == "cancelled"
    assert counts(batch)[2] == len(house.log(begun, "bad"))


def dollars(log: Sequence[Entry]) -> float:
    """What the simulators were paid, at the configured prices."""
    good = [entry for entry in log if entry.status == 200]
    full = [(each.prompt_tokens + 2 * each.completion_tokens) * (0.5 if each.job else 1.0) for each in good]
    return sum(full) / 1e6
