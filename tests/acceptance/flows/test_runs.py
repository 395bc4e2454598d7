"""`batchrouter check` and `run` with lanes of the providers' batch APIs."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchrouter.simulator import Script
from batchrouter.simulator.jobscript import Batches
from batchrouter.simulator.process import SimulatorProcess, running_simulator
from tests.acceptance.cli.rig import Shell, end
from tests.acceptance.flows.two_upstreams import anthropic_at, calls, file_of, line, openai_at, paid
from tests.lines import records

LINES = 120
PRICES = {"*": {"input": 1, "output": 2, "batch_discount": 0.5}}


@pytest.fixture
def upstreams() -> Iterator[tuple[SimulatorProcess, SimulatorProcess]]:
    slowly = Script(batches=Batches(work_s=2.0))
    with running_simulator(slowly, ["--keep-bodies"]) as one, running_simulator(slowly, ["--keep-bodies"]) as other:
        yield one, other


@pytest.fixture
def shell(tmp_path: Path, upstreams: tuple[SimulatorProcess, SimulatorProcess]) -> Iterator[Shell]:
    one, other = upstreams
    providers = {"openai": openai_at(one, prices=PRICES), "anthropic": anthropic_at(other, prices=PRICES)}
    shell = Shell(tmp_path)
    shell.path("batchrouter.yaml").write_text(json.dumps({"providers": providers, "batches": {"mode": "batch"}}))
    yield shell
    shell.close()


def test_check_tells_by_which_way_lines_would_go_and_what_would_be_left_out(shell: Shell) -> None:
    lines = [line(n, ("openai/gpt-4o-mini", "claude-4.5-haiku")[n % 2]) for n in range(LINES)]
    lines[0]["mode"] = "realtime"
    lines[1]["body"]["seed"] = 7
    lines[3]["body"]["n"] = 2
    shell.path("in.jsonl").write_bytes(file_of(lines))
    told = shell.inside("check", "in.jsonl", "--json")
    assert told.code == 1
    assert told.json["ways"] == {"batch": LINES - 1, "realtime": 1}
    assert told.json["dropped"] == {"seed": 1}
    assert [(each["line"], each["code"], each["param"]) for each in told.json["errors"]] == [
        (4, "unsupported_parameter", "n")
    ]


def test_a_run_that_is_killed_while_its_jobs_run_goes_on_with_the_same_jobs(
    shell: Shell, upstreams: tuple[SimulatorProcess, SimulatorProcess]
) -> None:
    one, other = upstreams
    wishes = [{"mode": "realtime"} if n % 5 == 0 else {} for n in range(LINES)]
    models = ("openai/gpt-4o-mini", "claude-4.5-haiku")
    lines = [line(n, models[n % 2], **wish) for n, wish in enumerate(wishes)]
    shell.path("in.jsonl").write_bytes(file_of(lines))
    process = shell.start("run", "in.jsonl", "-o", "out.jsonl")
    deadline_s = time.monotonic() + 15
    while not (one.jobs() and other.jobs() and len(paid(calls(one, other))) > LINES // 5):
        assert time.monotonic() < deadline_s
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    end(process)
    ended = shell("run", "in.jsonl", "-o", "out.jsonl", "--json")
    assert ended.code == 0, ended.err
    output = records(shell.path("out.jsonl").read_bytes())
    assert [each["custom_id"] for each in output] == [each["custom_id"] for each in lines]
    log = calls(one, other)
    assert paid([entry for entry in log if entry.job]) == Counter(n for n in range(LINES) if n % 5)
    assert len({entry.job for entry in log if entry.job}) == 2
    assert paid(log).keys() == set(range(LINES))
