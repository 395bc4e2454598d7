"""A file of four models of two providers, their names as people write them: native and real-time lanes together."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from batchrouter.simulator import Entry, Script, answer, expected_key
from batchrouter.simulator.jobscript import Batches, FailLines
from batchrouter.simulator.process import SimulatorProcess, running_simulator
from tests.acceptance.flows.two_upstreams import (
    CHAT,
    anthropic_at,
    calls,
    file_of,
    line,
    number_of,
    openai_at,
    paid,
    price,
)
from tests.lines import counts, errors_of, finished, output_of, records, upload
from tests.serving import ServerProcess, running_server

LINES = 1200
AS_WRITTEN = (
    ("openai", "openai/gpt-4o-mini", "gpt-4o-mini"),
    ("anthropic", "anthropic/claude-4.5-sonnet", "claude-sonnet-4-5"),
    ("openai", "gpt-5-mini", "gpt-5-mini"),
    (None, "claude-4.5-haiku", "claude-haiku-4-5"),
    ("openai", "gpt-4o-mini", "gpt-4o-mini"),
    ("anthropic", "claude-sonnet-4-5", "claude-sonnet-4-5"),
    (None, "openai/gpt-5-mini", "gpt-5-mini"),
    ("anthropic", "anthropic/claude-haiku-4.5", "claude-haiku-4-5"),
)
"""The line's `provider`, its model, and the model's name at the provider."""
SYSTEM = "You answer with one number. " * 20
SCRIPT = Script(
    batches=Batches(
        lines_per_s=2000,
        fail_lines=(
            FailLines(share=0.05, status=400, code="invalid_value", type="invalid_request_error"),
            FailLines(share=0.10, status=500),  # one draw for both: this is the other 5 %
        ),
    )
)


@pytest.fixture(scope="module")
def upstreams() -> Iterator[tuple[SimulatorProcess, SimulatorProcess]]:
    with running_simulator(SCRIPT, ["--keep-bodies"]) as one, running_simulator(SCRIPT, ["--keep-bodies"]) as other:
        yield one, other


@pytest.fixture(scope="module")
def server(
    upstreams: tuple[SimulatorProcess, SimulatorProcess], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    one, other = upstreams
    config = {"providers": {"openai": openai_at(one), "anthropic": anthropic_at(other)}, "default_provider": "openai"}
    with running_server(tmp_path_factory.mktemp("mixed"), config) as running:
        yield running


def asked(number: int) -> dict[str, Any]:
    """Every tenth line wants real time, some batch; some of Claude's cannot be translated, or lose parameters."""
    provider, model, _ = AS_WRITTEN[number % len(AS_WRITTEN)]
    more: dict[str, Any] = {} if provider is None else {"provider": provider}
    if number % 10 == 3:
        more["mode"] = "realtime"
    elif number % 10 == 6:
        more["mode"] = "batch"
    if refused(number):
        more["body"] = {"n": 2}
    elif number % 7 == 0:
        more["body"] = {"seed": number, "presence_penalty": 0.5}
    elif number % 11 == 0:
        system: dict[str, Any] = {"type": "text", "text": SYSTEM}
        if is_claude(number):
            system["cache_control"] = {"type": "ephemeral"}
        question = {"role": "user", "content": f"question {number}"}
        more["body"] = {"messages": [{"role": "system", "content": [system]}, question]}
    return line(number, model, custom_id=f"quäntum {number}", **more)


def is_claude(number: int) -> bool:
    return "claude" in AS_WRITTEN[number % len(AS_WRITTEN)][1]


def refused(number: int) -> bool:
    return is_claude(number) and number % 50 == 1


def test_a_mixed_file_finishes_natively_and_in_real_time_together(
    upstreams: tuple[SimulatorProcess, SimulatorProcess], server: ServerProcess
) -> None:
    one, other = upstreams
    lines = [asked(number) for number in range(LINES)]
    with server.client() as client:
        batch = finished(client, upload(client, file_of(lines)).id, 40)
        output, errors = records(output_of(client, batch)), records(errors_of(client, batch))
    log = calls(one, other)
    ran = grouped(log)

    # Each line once, in the order of the file, in one of the two files.
    numbers = [int(each["custom_id"].split()[1]) for each in output]
    failed = [int(each["custom_id"].split()[1]) for each in errors]
    assert batch.status == "completed"
    assert sorted(numbers + failed) == list(range(LINES))
    assert numbers == sorted(numbers)
    assert failed == sorted(failed)
    assert counts(batch) == (LINES, len(numbers), len(failed))

    # Each line ran to an answer once, at the provider and with the model that it names.
    assert paid(log) == Counter(numbers)
    for entry in log:
        number = number_of(entry)
        assert entry.model == AS_WRITTEN[number % len(AS_WRITTEN)][2]
        if entry.end == "native":
            assert entry.custom_id.endswith(f"-{number}")
            assert number % 10 != 3

    # Its answer is its own: OpenAI's to the byte, Anthropic's by key and text.
    modes = {}
    for each, number in zip(output, numbers, strict=True):
        (entry,) = [entry for entry in ran[number] if entry.status == 200]
        modes[number] = "batch" if entry.end == "native" else "realtime"
        check_answer(lines[number], number, each, entry)

    # Those that failed: as 400 in their job, or never sent.
    for each, number in zip(errors, failed, strict=True):
        error = each["response"]["body"]["error"]
        assert each["error"] is None
        assert each["response"]["status_code"] == 400
        if refused(number):
            assert (error["code"], error["param"]) == ("unsupported_parameter", "n")
            assert number not in ran
        else:
            assert [entry.status for entry in ran[number]] == [400]
    assert {number for number in failed if refused(number)} == {n for n in range(LINES) if refused(n)}
    assert len([number for number in failed if not refused(number)]) >= 20

    # What failed with 500 natively was given to a job once more at most, and then ran in real time.
    again = {number: [e.status for e in entries] for number, entries in ran.items() if len(entries) > 1}
    assert all(statuses in ([500, 200], [500, 500, 200]) for statuses in again.values())
    assert all(ran[number][-1].end == "sent" for number in again)
    assert len(again) >= 20

    ways = Counter(modes.values())
    print(f"{len(numbers)} answered ({ways['batch']} natively), {len(failed)} failed, {len(again)} again in real time")
    check_money(batch, output, numbers, failed, modes, log, server)


def check_answer(asked_line: dict[str, Any], number: int, each: dict[str, Any], entry: Entry) -> None:
    assert entry.text is not None
    body = each["response"]["body"]
    assert each["response"]["status_code"] == 200
    assert each["response"]["request_id"]
    if not is_claude(number):
        sent = json.loads(entry.text)
        assert sent == {**asked_line["body"], "model": entry.model}
        assert entry.key == expected_key(entry.text.encode())
        assert body == json.loads(answer(CHAT, entry.text.encode()))
        assert "batchrouter" not in each
        return
    (choice,) = body["choices"]
    assert (body["id"], body["model"]) == (f"msg_{entry.key}", entry.model)
    assert choice["message"]["content"] == f"echo {entry.key}: question {number}"
    assert (body["usage"]["prompt_tokens"], body["usage"]["completion_tokens"]) == (
        entry.prompt_tokens,
        entry.completion_tokens,
    )
    dropped = each.get("batchrouter", {}).get("dropped", [])
    assert sorted(dropped) == (["presence_penalty", "seed"] if "seed" in asked_line["body"] else [])


def check_money(
    batch: Any,
    output: list[dict[str, Any]],
    numbers: list[int],
    failed: list[int],
    modes: dict[int, str],
    log: list[Entry],
    server: ServerProcess,
) -> None:
    good = [entry for entry in log if entry.status == 200]
    assert batch.usage.input_tokens == sum(entry.prompt_tokens for entry in good)
    assert batch.usage.output_tokens == sum(entry.completion_tokens for entry in good)
    cached = written = 0
    by_lane: dict[tuple[str, str], Decimal] = {}
    done: Counter[tuple[str, str]] = Counter()
    for each, number in zip(output, numbers, strict=True):
        _, _, model = AS_WRITTEN[number % len(AS_WRITTEN)]
        usage = each["response"]["body"]["usage"]
        lane = (model, modes[number])
        cost = price("anthropic" if is_claude(number) else "openai", model, modes[number], usage)
        by_lane[lane] = by_lane.get(lane, Decimal(0)) + cost
        done[lane] += 1
        cached += usage["prompt_tokens_details"]["cached_tokens"]
        written += usage["prompt_tokens_details"].get("cache_write_tokens", 0)
    assert cached > 0
    assert written > 0
    assert batch.usage.input_tokens_details.cached_tokens == cached
    told = server.ask("GET", f"/v1/batches/{batch.id}")
    assert told["usage"]["cost"] == pytest.approx(float(sum(by_lane.values())), abs=1e-12)
    lanes = {(lane["model"], lane["mode"]): lane for lane in told["batchrouter"]["lanes"]}
    assert {key: lane["cost"] for key, lane in lanes.items()} == pytest.approx(
        {key: float(by_lane[key]) for key in lanes}, abs=1e-12
    )
    assert sum(lane["done"] for lane in lanes.values()) == LINES
    assert len(lanes) == 8
    assert {job["status"] for job in told["batchrouter"]["jobs"]} == {"collected"}
    assert sum(job["maybe_paid_twice"] for job in told["batchrouter"]["jobs"]) == 0


def grouped(log: list[Entry]) -> dict[int, list[Entry]]:
    by_line: dict[int, list[Entry]] = {}
    for entry in log:
        by_line.setdefault(number_of(entry), []).append(entry)
    return by_line
