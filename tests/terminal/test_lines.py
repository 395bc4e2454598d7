"""`batchrouter tail`, `fetch`, `cancel`, `pause`, `resume` and `retry`."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from batchrouter.simulator.process import SimulatorProcess
from tests.acceptance.cli.rig import Shell
from tests.serving import ServerProcess
from tests.terminal.conftest import Lines, done_of, ids
from tests.terminal.rig import CTRL_C, Desk, until, valve


@pytest.fixture
def over(shell: Shell, lines: Lines) -> str:
    """The id of a batch that is over: 20 lines, four of them failed."""
    lines(20, poison=5)
    return shell.inside("submit", "in.jsonl", "--wait").out.strip()


@pytest.fixture
def slow(shell: Shell, server: ServerProcess, lines: Lines) -> Iterator[str]:
    """The id of a batch whose last line never ends by itself; all others have."""
    lines(20, slowly=1, poison=5)
    batch_id = shell.inside("submit", "in.jsonl").out.strip()
    until(lambda: done_of(server, batch_id) == 19)
    yield batch_id
    shell.inside("cancel", batch_id)


# --- tail -----------------------------------------------------------------------------------------------------------


def test_lines_are_followed_through_a_restart_of_the_server(shell: Shell, server: ServerProcess, lines: Lines) -> None:
    """Each once, however the server ended; the command ends with the batch."""
    lines(60, slowly=1, poison=20)
    batch_id = shell.inside("submit", "in.jsonl").out.strip()
    process = shell.start("tail", "-f", "-n", "+1", "--json", batch_id)
    assert process.stdout is not None
    seen = [json.loads(process.stdout.readline()) for _ in range(59)]
    server.kill()
    assert process.stderr is not None
    assert "does not answer" in process.stderr.readline()
    server.start()
    assert shell.inside("cancel", batch_id).code == 0
    out, words = process.communicate(timeout=40)
    assert process.returncode == 0, words
    assert "answers again" in words
    seen += [json.loads(line) for line in out.splitlines()]
    assert sorted(line["custom_id"] for line in seen) == sorted(f"zeile-ü-{number}" for number in range(60))
    assert [line["outcome"] for line in seen].count("failed") == 3
    assert seen[-1]["outcome"] == "cancelled"


def test_ctrl_c_ends_a_tail_and_nothing_else(desk: Desk, shell: Shell, slow: str) -> None:
    """It says how to go on; from there the rest is shown."""
    typed = desk("tail", "-f", slow, "-n", "+1")
    typed.until("zeile-ü-18 .*")
    typed.press(CTRL_C)
    assert typed.end() == 130
    assert f"Nothing changes for the batch; `batchrouter tail -f {slow}` looks again." in typed.text
    again = desk("tail", "-f", "-n", "1", slow)
    again.until("zeile-ü-")
    shell.inside("cancel", slow)
    assert again.end() == 0
    shown = again.text.splitlines()
    assert len(shown) == 2
    assert shown[1].startswith("zeile-ü-19  cancelled  batch_cancelled  ")


def test_so_many_lines_are_shown_of_those_that_match(shell: Shell, over: str) -> None:
    """As text, one line each; as JSON with their answers."""
    assert len(shell.inside("tail", over).out.splitlines()) == 10
    assert len(shell.inside("tail", over, "-n", "3").out.splitlines()) == 3
    assert len(shell.inside("tail", over, "-n", "+5").out.splitlines()) == 16
    failed = shell.inside("tail", over, "--failed").out.splitlines()
    assert sorted(line.split()[0] for line in failed) == ["zeile-ü-0", "zeile-ü-10", "zeile-ü-15", "zeile-ü-5"]
    assert "failed  400 too_bad" in failed[0]
    stopped = shell.inside("tail", over, "--where", "finish_reason=stop", "-n", "100", "--json").out.splitlines()
    assert len(stopped) == 16
    assert "hello" in json.loads(stopped[0])["result"]["response"]["body"]["choices"][0]["message"]["content"]
    none = shell.inside("tail", over, "--where", "finish_reason=length")
    assert (none.code, none.out) == (0, "")


def test_who_reads_lines_may_leave(desk: Desk, slow: str) -> None:
    """A follower too."""
    typed = desk.sh(f"batchrouter tail -n +1 {slow} | head -1; batchrouter tail -f -n +1 {slow} --json | head -c 1")
    assert typed.until("zeile-ü")
    typed.press(CTRL_C)


# --- fetch ----------------------------------------------------------------------------------------------------------


def test_answers_are_fetched_as_often_as_wanted(desk: Desk, shell: Shell, over: str) -> None:
    """Answers and failed lines apart, or every line in one, in the order of the input; a repeat changes nothing."""
    typed = desk("fetch", over, "-o", "out.jsonl")
    assert typed.end() == 1
    assert f"{over} completed 20/20, 4 failed, ran " in typed.text
    assert "  4 × 400 too_bad, such as zeile-ü-0" in typed.text
    out, errors = shell.path("out.jsonl"), shell.path("out.jsonl.errors.jsonl")
    assert ids(out) == [f"zeile-ü-{number}" for number in range(20) if number % 5]
    assert ids(errors) == [f"zeile-ü-{number}" for number in range(0, 20, 5)]
    before = [(path.stat().st_ino, path.read_bytes()) for path in (out, errors)]
    again = shell.inside("fetch", over, "-o", "out.jsonl", "--json")
    assert (again.code, again.json["already_there"]) == (1, True)
    assert [(path.stat().st_ino, path.read_bytes()) for path in (out, errors)] == before
    assert shell.inside("fetch", over, "-o", "all.jsonl", "--merged").code == 1
    assert ids(shell.path("all.jsonl")) == [f"zeile-ü-{number}" for number in range(20)]
    assert "it was there already" in shell.inside("fetch", over, "-o", "all.jsonl", "--merged").out
    assert [path.name for path in shell.folder.iterdir() if path.name.endswith(".part")] == []


def test_the_file_of_another_batch_is_not_overwritten(shell: Shell, lines: Lines, over: str) -> None:
    """Unless somebody wants it; nor is anything else that stands there."""
    shell.path("notes.txt").write_text("mine")
    refused = shell.inside("fetch", over, "-o", "notes.txt")
    assert refused.code == 2
    assert "it is not this batch's" in refused.err
    assert shell.path("notes.txt").read_text() == "mine"
    lines(20, poison=5, name="on.jsonl")  # as long as the other one
    other = shell.inside("submit", "on.jsonl", "-o", "out.jsonl").err
    assert "completed 20/20" in other
    assert shell.inside("fetch", over, "-o", "out.jsonl").code == 2
    assert shell.inside("fetch", over, "-o", "out.jsonl", "--force").code == 1
    assert "on.jsonl" not in shell.path("out.jsonl").read_text()


def test_a_batch_that_is_not_over_has_nothing_to_fetch_yet(shell: Shell, slow: str) -> None:
    """And says what has."""
    ended = shell.inside("fetch", slow)
    assert ended.code == 2
    assert f"`batchrouter tail -f {slow}` shows what is finished" in ended.err
    assert [path.name for path in shell.folder.iterdir()] == ["in.jsonl"]


def test_an_interrupted_fetch_goes_on_where_it_was(
    desk: Desk, shell: Shell, lines: Lines, server: ServerProcess
) -> None:
    """What came is kept beside the place of the file, which is there whole or not at all."""
    lines(10, text="largely")
    batch_id = shell.inside("submit", "in.jsonl", "--wait").out.strip()
    with valve(server.url, down=6_000_000) as link:
        typed = desk("fetch", batch_id, "-o", "out.jsonl", "--url", link.url)
        until(link.held.is_set)
        parts = list(desk.folder.glob(".out.jsonl.*.part"))
        until(lambda: parts[0].stat().st_size == 4 * 1024 * 1024)
        typed.press(CTRL_C)
        assert typed.end() == 130
    assert "is kept beside it; the same command goes on" in typed.text
    assert not shell.path("out.jsonl").exists()
    again = desk("fetch", batch_id, "-o", "out.jsonl")
    assert again.end() == 0
    assert "Going on from 4.0 MiB" in again.text
    file_id = server.ask("GET", f"/v1/batches/{batch_id}")["output_file_id"]
    assert shell.path("out.jsonl").read_bytes() == server.fetch("GET", f"/v1/files/{file_id}/content")[1]
    assert list(desk.folder.glob(".*.part")) == []


def test_answers_go_through_pipes_and_into_tables(desk: Desk, shell: Shell, over: str) -> None:
    """Every line of the input, failed ones too."""
    typed = desk.sh(f"batchrouter fetch {over} -o - 2> /dev/null | tee all.jsonl | head -1")
    assert typed.end() == 0
    assert ids(shell.path("all.jsonl")) == [f"zeile-ü-{number}" for number in range(20)]
    assert shell.inside("fetch", over, "-o", "out.csv").code == 1
    rows = shell.path("out.csv").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 21
    assert rows[1].startswith("zeile-ü-0,")


# --- steering -------------------------------------------------------------------------------------------------------


def test_batches_are_paused_resumed_and_cancelled_and_repeats_are_harmless(
    desk: Desk, shell: Shell, slow: str, over: str
) -> None:
    """One line says what happened to each."""
    paused = desk("pause", slow)
    assert paused.end() == 0
    assert re.fullmatch(rf"{slow} is paused at \d+/\d+; .*", paused.text.strip())
    assert f"{slow} is paused already" in shell.inside("pause", slow).out
    assert "paused" in shell.inside("ls", "--search", slow).out
    assert f"{slow} goes on at" in shell.inside("resume", slow).out
    assert f"{slow} is not paused" in shell.inside("resume", slow).out
    refused = shell.inside("pause", over, slow)
    assert refused.code == 2
    assert f"error: {over}: " in refused.err
    assert f"{slow} is paused at" in refused.out
    cancelled = shell.inside("cancel", slow, over)
    assert cancelled.code == 0
    assert re.search(rf"{slow} is cancell", cancelled.out)
    assert f"{over} is completed already: there is nothing to cancel" in cancelled.out
    again = shell.inside("cancel", slow, "--json")
    assert (again.code, again.json["ok"]) == (0, True)


def test_failed_lines_are_retried_and_the_new_batch_has_every_line(
    desk: Desk, shell: Shell, over: str, simulator: SimulatorProcess
) -> None:
    """Only they are sent; the same again finds the batch that was made; nothing to do is told."""
    sent = len(simulator.log())
    typed = desk("retry", over, "--set", "max_tokens=77", "-o", "out.jsonl")
    assert typed.end() == 1  # they fail again
    made = re.search(r"batch_[0-9a-f]{32}", typed.text)
    assert made is not None
    assert made[0] != over
    assert len(simulator.log()) - sent == 4
    assert f"{made[0]} completed 20/20, 4 failed" in typed.text
    assert ids(shell.path("out.jsonl")) == [f"zeile-ü-{number}" for number in range(20) if number % 5]
    again = shell.inside("retry", over, "--set", "max_tokens=77")
    assert again.out.strip() == made[0]
    assert shell.inside("retry", over, "--set", "max_tokens=77", "--again").out.strip() != made[0]
    chosen = shell.inside("retry", over, "--where", "custom_id=zeile-ü-3", "--wait", "--json").json
    assert (chosen["completed"], chosen["failed"]) == (16, 4)
    assert len(simulator.log()) - sent == 9
    assert shell.inside("show", chosen["id"], "--json").json["batch"]["batchrouter"]["retry_of"] == over
    none = shell.inside("retry", over, "--where", "finish_reason=length")
    assert none.code == 2
    assert "nothing to retry" in none.err


def test_a_batch_that_is_not_over_is_not_retried(shell: Shell, slow: str) -> None:
    """The server's words."""
    refused = shell.inside("retry", slow, "--json")
    assert (refused.code, refused.json["ok"]) == (2, False)


# --- completion -----------------------------------------------------------------------------------------------------


COMPLETING = """
    mkdir bin; printf '#!/bin/sh\\nexec "%s" -m batchrouter.cli "$@"\\n' "$PYTHON" > bin/batchrouter
    chmod +x bin/batchrouter; PATH="$PWD/bin:$PATH"
    source <(batchrouter --show-completion bash)
    complete -p batchrouter > /dev/null
    offered() {
        COMP_WORDS=("$@"); COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 ))
        for try in 1 2 3 4 5 6 7 8; do  # on a busy machine a second may be too short
            _batchrouter_completion batchrouter
            [ -z "$COMPREPLY" ] && [ "$BATCHROUTER_URL" != http://127.0.0.1:9 ] || break
        done
        echo ${COMPREPLY[@]}
    }
    offered batchrouter su
    offered batchrouter show batch_
    BATCHROUTER_URL= offered batchrouter show --data "$DATA" batch_
    offered batchrouter pause batch_
    BATCHROUTER_URL=http://127.0.0.1:9 offered batchrouter show batch_
    echo end
"""


def test_bash_completes_commands_and_ids(
    desk: Desk, env: dict[str, str], server: ServerProcess, over: str, slow: str
) -> None:
    """Ids of batches that the command is for; nothing, and no word, where there is no server."""
    env = {
        **env,
        "PYTHON": sys.executable,
        "DATA": str(server.folder),
        "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1",
    }
    done = subprocess.run(
        ["bash", "--norc", "-c", COMPLETING], cwd=desk.folder, env=env, capture_output=True, text=True, timeout=60
    )
    assert done.stderr == ""
    commands, shown, by_folder, pausable, nowhere, end = (line.split() for line in done.stdout.splitlines())
    assert (commands, nowhere, end) == (["submit"], [], ["end"])
    assert {over, slow} <= set(shown)
    assert by_folder == shown
    assert slow in pausable
    assert over not in pausable
