"""`batchrouter run`: the whole job without a server."""

from __future__ import annotations

import json
import os
import pty
import random
import signal
import subprocess
import sys
from pathlib import Path
from time import monotonic

import pytest

from batchrouter.cli.job import GRACE_S
from batchrouter.simulator import Match, Rule, Script, Then
from batchrouter.simulator.process import running_simulator
from tests.acceptance.cli.rig import (
    Shell,
    answers_of,
    assert_answered,
    end,
    sent_keys,
    until,
)

PACE = {"fixed_in_flight": 16}
FLUSH_LINES = 100
"""More than 16 in flight at 20 to 80 ms answer within one flush (100 ms), twice over."""


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_run_answers_every_line_in_order_and_leaves_nothing_but_its_output(shell: Shell) -> None:
    with running_simulator() as simulator:
        shell.config(simulator.base_url)
        lines = shell.requests(300)
        ended = shell("run", "in.jsonl", "-o", "out.jsonl", "--json")
        stats = simulator.stats()
    assert ended.code == 0, ended.err
    assert_answered(shell.path("out.jsonl"), lines)
    told = ended.json
    assert (told["ok"], told["status"], told["total"], told["completed"], told["failed"]) == (
        True,
        "completed",
        300,
        300,
        0,
    )
    assert told["calls"] == stats["requests"] == 300
    assert (told["tokens_in"], told["tokens_out"]) == (stats["prompt_tokens"], stats["completion_tokens"])
    assert 0 < told["peak_in_flight"] <= stats["in_flight_max"] + 300
    assert names(shell.folder) == {"batchrouter.yaml", "in.jsonl", "out.jsonl"}


def test_lines_that_fail_are_told_by_kind_and_stand_in_the_errors_file(shell: Shell) -> None:
    """Exit code 1: it ran, and not all is well."""
    rules = (
        Rule(match=Match(contains="poison 0"), then=Then(status=400, code="too_bad")),
        Rule(match=Match(contains="poison"), then=Then(status=422, code="worse")),
    )
    with running_simulator(Script(rules=rules)) as simulator:
        shell.config(simulator.base_url)
        lines = shell.requests(40, poison=10)
        ended = shell("run", "in.jsonl", "-o", "out.jsonl")
    assert ended.code == 1, ended.err
    assert_answered(shell.path("out.jsonl"), [line for number, line in enumerate(lines) if number % 10])
    errors = answers_of(shell.path("out.jsonl.errors.jsonl"))
    assert [error["custom_id"] for error in errors] == ["line-0", "line-10", "line-20", "line-30"]
    assert "40 lines, 36 ok, 4 failed" in ended.out
    assert "3 × 422 worse, such as line-10" in ended.out
    assert "1 × 400 too_bad, such as line-0" in ended.out


def test_ctrl_c_keeps_what_is_done_and_the_same_command_goes_on(shell: Shell) -> None:
    """Calls under way may end, so that nothing is sent twice."""
    with running_simulator(arguments=["--latency", "0.02..0.08"]) as simulator:
        shell.config(simulator.base_url, **PACE)
        lines = shell.requests(800)
        process = shell.start("run", "in.jsonl", "-o", "out.jsonl")
        until(lambda: len(simulator.log()) > 150, process)
        process.send_signal(signal.SIGINT)
        first = end(process)
        assert first.code == 130
        assert "kept in out.jsonl.batchrouter" in first.err
        assert not shell.path("out.jsonl").exists()
        assert len(sent_keys(simulator)) < 800
        second = shell("run", "in.jsonl", "-o", "out.jsonl", "--json")
        sent = sent_keys(simulator)
    assert second.code == 0, second.err
    assert "Continuing" in second.err
    assert second.json["continued"]
    assert second.json["completed"] == 800
    assert_answered(shell.path("out.jsonl"), lines)
    assert len(sent) == len(set(sent)) == 800


def test_a_second_ctrl_c_does_not_wait_for_the_calls(shell: Shell) -> None:
    """Nor is anything lost that was answered before."""
    rules = (Rule(match=Match(contains="poison"), then=Then(delay_s=120.0)),)
    with running_simulator(Script(rules=rules)) as simulator:
        shell.config(simulator.base_url, **PACE)
        lines = shell.requests(40, poison=8)
        process = shell.start("run", "in.jsonl", "-o", "out.jsonl", "--json")
        until(lambda: len(simulator.log()) == 40, process)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        until(lambda: "Ctrl-C again" in (process.stderr.readline() if process.stderr else ""), process)
        process.send_signal(signal.SIGINT)
        begun_s = monotonic()
        first = end(process)
        assert first.code == 130
        assert monotonic() - begun_s < GRACE_S - 1
        assert (first.json["completed"], first.json["left"]) == (35, 5)
        simulator.set_script(Script())
        assert shell("run", "in.jsonl", "-o", "out.jsonl").code == 0
        sent = sent_keys(simulator)
    assert_answered(shell.path("out.jsonl"), lines)
    assert len(sent) == 45


def test_after_a_kill_at_any_moment_the_same_command_goes_on(shell: Shell) -> None:
    """No answer is lost or given twice; sent again is only what was in flight or not yet flushed."""
    chance = random.Random(7)
    kills = 3
    with running_simulator(arguments=["--latency", "0.02..0.08"]) as simulator:
        shell.config(simulator.base_url, **PACE)
        lines = shell.requests(1000)
        for kill in range(kills):
            process = shell.start("run", "in.jsonl", "-o", "out.jsonl")
            goal = 220 * (kill + 1) + chance.randrange(60)
            until(lambda: len(set(sent_keys(simulator))) > goal, process)  # noqa: B023
            process.kill()
            end(process)
        assert shell("run", "in.jsonl", "-o", "out.jsonl").code == 0
        sent = sent_keys(simulator)
    assert_answered(shell.path("out.jsonl"), lines)
    assert len(set(sent)) == 1000
    assert len(sent) - 1000 <= kills * (16 + FLUSH_LINES)


def test_a_death_between_any_two_steps_of_the_end_is_mended_by_the_next_run(shell: Shell) -> None:
    """From the finished batch to the removed folder: at each step the process dies, and the next run ends it."""
    with running_simulator() as simulator:
        script = Path(__file__).with_name("deaths.py")
        done = subprocess.run(
            [sys.executable, str(script), simulator.base_url],
            cwd=shell.folder,
            env=shell.env,
            capture_output=True,
            text=True,
            timeout=100,
        )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["steps"] >= 10
    assert not told["wrong"], "\n".join(told["wrong"])
    assert told["requests_sent_again"] == 0


def interrupted(shell: Shell) -> None:
    """A run of 60 lines that was stopped in the middle."""
    rules = (Rule(match=Match(contains="poison"), then=Then(delay_s=120.0)),)
    with running_simulator(Script(rules=rules)) as simulator:
        shell.config(simulator.base_url, **PACE)
        shell.requests(60, poison=30)
        process = shell.start("run", "in.jsonl", "-o", "out.jsonl")
        until(lambda: len(simulator.log()) == 60, process)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
        assert end(process).code == 130


def test_another_input_is_refused_and_the_same_one_written_otherwise_is_not(shell: Shell) -> None:
    interrupted(shell)
    source = shell.path("in.jsonl")
    text = source.read_text()
    for changed, sentence in [
        (text.replace("hello 7", "hullo 7"), 'line 8 (custom_id "line-7") has another body'),
        (text + json.dumps({"custom_id": "new"}) + "\n", "line 61"),
    ]:
        source.write_text(changed)
        ended = shell("run", "in.jsonl", "-o", "out.jsonl", "--json")
        assert ended.code == 2
        assert not ended.json["ok"]
        assert sentence in ended.json["error"]["message"]
        assert "out.jsonl.batchrouter" in ended.err
    source.write_text("\n" + text.replace("\n", "\r\n\r\n"))
    with running_simulator() as simulator:
        shell.config(simulator.base_url)
        assert shell("run", "in.jsonl", "-o", "out.jsonl").code == 0
        assert len(simulator.log()) == 2


def test_a_wrong_key_ends_the_run_with_its_reason_and_a_right_one_goes_on(shell: Shell) -> None:
    """Exit code 3 after a handful of calls, however many lines there are; asking again costs one call."""
    with running_simulator(arguments=["--api-key", "right"]) as simulator:
        shell.config(simulator.base_url, api_key="wrong")
        lines = shell.requests(3000)
        first = shell("run", "in.jsonl", "-o", "out.jsonl", "--json")
        assert first.code == 3, first.err
        assert (first.json["status"], first.json["left"], first.json["failed"]) == ("needs_person", 3000, 0)
        assert all("refuses the key (401" in reason for reason in first.json["reasons"])
        assert len(simulator.log()) <= 2 * 32
        calls = len(simulator.log())
        again = shell("run", "in.jsonl", "-o", "out.jsonl")
        assert again.code == 3
        assert "refuses the key" in again.out
        assert len(simulator.log()) - calls <= 2
        shell.config(simulator.base_url, api_key="right")
        assert shell("run", "in.jsonl", "-o", "out.jsonl").code == 0
    assert_answered(shell.path("out.jsonl"), lines)


def test_with_wait_a_wrong_key_is_waited_for(shell: Shell) -> None:
    with running_simulator(arguments=["--api-key", "right"]) as simulator:
        shell.config(simulator.base_url, api_key="wrong")
        shell.requests(10)
        process = shell.start("run", "in.jsonl", "-o", "out.jsonl", "--wait")
        assert process.stderr is not None
        told = [process.stderr.readline() for _ in range(1)]
        while "tried again in" not in told[-1]:
            told.append(process.stderr.readline())
            assert told[-1], told
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1.5)
        process.send_signal(signal.SIGINT)
        assert end(process).code == 130


def test_bad_lines_are_refused_before_anything_is_sent(shell: Shell) -> None:
    with running_simulator() as simulator:
        shell.config(simulator.base_url)
        shell.requests(20)
        with shell.path("in.jsonl").open("a") as file:
            file.write('{"custom_id": "line-3"}\nno json\n')
        ended = shell("run", "in.jsonl", "-o", "out.jsonl")
        assert simulator.log() == []
    assert ended.code == 2
    assert "line 21: missing_required_parameter" in ended.err
    assert "line 22: invalid_json_line" in ended.err
    assert "batchrouter check in.jsonl" in ended.err
    assert names(shell.folder) == {"batchrouter.yaml", "in.jsonl"}


def test_an_output_is_overwritten_only_by_force(shell: Shell) -> None:
    with running_simulator() as simulator:
        shell.config(simulator.base_url)
        lines = shell.requests(5)
        shell.path("out.jsonl").write_text("mine")
        refused = shell("run", "in.jsonl", "-o", "out.jsonl")
        assert refused.code == 2
        assert "--force" in refused.err
        assert shell.path("out.jsonl").read_text() == "mine"
        shell.path("out.jsonl.errors.jsonl").write_text("old")
        assert shell("run", "in.jsonl", "-o", "out.jsonl", "--force").code == 0
    assert_answered(shell.path("out.jsonl"), lines)
    assert names(shell.folder) == {"batchrouter.yaml", "in.jsonl", "out.jsonl"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["absent.jsonl", "-o", "out.jsonl"], "absent.jsonl is no file"),
        (["in.jsonl", "-o", "in.jsonl"], "three different files"),
        (["in.jsonl", "-o", "no/such/out.jsonl"], "there is no folder no/such"),
        (["in.jsonl", "-o", "out.jsonl", "--endpoint", "/v1/other"], "/v1/other"),
        (["in.jsonl", "-o", "taken.jsonl"], "is not the state of a run"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_one_sentence(shell: Shell, arguments: list[str], sentence: str) -> None:
    shell.config("http://127.0.0.1:9/v1")
    shell.requests(1)
    shell.path("taken.jsonl.batchrouter").mkdir()
    shell.path("taken.jsonl.batchrouter/diary.txt").write_text("mine")
    ended = shell("run", *arguments, "--json")
    assert ended.code == 2
    assert sentence in ended.json["error"]["message"]
    assert "Traceback" not in ended.err
    assert shell.path("taken.jsonl.batchrouter/diary.txt").exists()


def test_without_a_provider_a_run_says_how_to_name_one(shell: Shell) -> None:
    shell.requests(1)
    ended = shell("run", "in.jsonl", "-o", "out.jsonl")
    assert ended.code == 2
    assert "OPENAI_API_KEY" in ended.err
    assert "batchrouter.yaml" in ended.err


def test_a_second_run_to_the_same_output_is_refused_while_the_first_one_works(shell: Shell) -> None:
    with running_simulator(Script(rules=(Rule(then=Then(delay_s=60.0)),))) as simulator:
        shell.config(simulator.base_url)
        shell.requests(3)
        process = shell.start("run", "in.jsonl", "-o", "out.jsonl")
        until(simulator.log, process)
        second = shell("run", "in.jsonl", "-o", "out.jsonl")
        assert second.code == 2
        assert "another run writes out.jsonl" in second.err
        process.kill()
        end(process)


def test_on_a_terminal_progress_is_a_panel(shell: Shell) -> None:
    """Drawn on stderr, with every figure, and gone when the summary comes."""
    with running_simulator(arguments=["--latency", "0.3"]) as simulator:
        shell.config(simulator.base_url, fixed_in_flight=8)
        shell.requests(40)
        ours, theirs = pty.openpty()
        command = [sys.executable, "-m", "batchrouter.cli", "run", "in.jsonl", "-o", "out.jsonl"]
        process = subprocess.Popen(
            command,
            cwd=shell.folder,
            env=shell.env | {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"},
            stdout=subprocess.PIPE,
            stderr=theirs,
            text=True,
        )
        os.close(theirs)
        drawn = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # how a terminal ends on Linux
                break
            if not piece:
                break
            drawn += piece
        os.close(ours)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0, drawn
    text = drawn.decode()
    assert "╭" in text
    for word in ("in.jsonl → out.jsonl: running", "in flight", "waiting", "retrying", "tokens", "ETA", "sim/a"):
        assert word in text, word
    assert "completed: 40 lines" in out
    assert "╭" not in out
