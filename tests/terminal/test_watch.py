"""`batchrouter wait`, `ls`, `show` and their like in terminals of all kinds."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.cli.rig import Shell
from tests.serving import ServerProcess
from tests.terminal.conftest import Lines, done_of
from tests.terminal.rig import CTRL_C, Desk, until


@pytest.fixture
def slow(shell: Shell, server: ServerProcess, lines: Lines) -> Iterator[str]:
    """The id of a batch whose last line never ends by itself; all others have."""
    lines(30, slowly=1, poison=10)
    batch_id = shell.inside("submit", "in.jsonl", "--name", "Läuft ü").out.strip()
    until(lambda: done_of(server, batch_id) == 29)
    yield batch_id
    shell.inside("cancel", batch_id)


def test_a_panel_is_drawn_in_a_terminal_and_ctrl_c_changes_nothing(desk: Desk, shell: Shell, slow: str) -> None:
    """Wide and narrow; the same command watches again, and ends with the batch."""
    wide = desk("wait", slow, columns=120)
    wide.until("done 29 of 30")
    wide.until("in flight 1 ")
    wide.press(CTRL_C)
    assert wide.end() == 130
    assert wide.coloured
    assert f"#/batches/{slow}" in wide.text
    assert "failed 3" in wide.text
    assert f"`batchrouter wait {slow}` watches again" in wide.text
    narrow = desk("wait", slow, columns=60, NO_COLOR="1")
    narrow.until("done 29 of 30")
    assert narrow.widest <= 60
    assert not narrow.coloured
    assert shell.inside("cancel", slow).code == 0
    assert narrow.end() == 1
    last = narrow.text.rstrip().splitlines()
    assert f"{slow} cancelled 29/30, 3 failed, 1 not run, ran " in narrow.text
    assert "  3 × 400 too_bad, such as zeile-ü-0" in last
    assert re.search(r"  1 × .*cancelled.*, such as zeile-ü-29", narrow.text)


def test_a_dumb_terminal_gets_lines_and_no_escapes(desk: Desk, slow: str) -> None:
    """Nor does anything that is no terminal."""
    typed = desk("wait", slow, TERM="dumb")
    typed.until("running: 29/30 .* ETA")
    typed.press(CTRL_C)
    assert typed.end() == 130
    assert "\x1b" not in typed.raw


def test_a_wait_may_be_short(shell: Shell, slow: str) -> None:
    """Exit code 1, and what is known so far."""
    ended = shell.inside("wait", slow, "--timeout", "0.1", "--json")
    assert ended.code == 1
    assert ended.json["ok"] is False
    assert ended.json["batches"][0]["id"] == slow
    assert "Not over" in shell.inside("wait", slow, "--timeout", "0").err


def test_several_are_watched_at_once(desk: Desk, shell: Shell, lines: Lines, slow: str) -> None:
    """Each has its line; the exit code is that of the worst."""
    lines(3, name="more.jsonl")
    other = shell.inside("submit", "more.jsonl").out.strip()
    typed = desk("wait", slow, other, "last")
    typed.until("1 of 2 over")
    assert "Läuft ü" in typed.text
    shell.inside("cancel", slow)
    assert typed.end() == 1
    facts = [line for line in typed.text.splitlines() if line.startswith("batch_")]
    assert [fact.split()[:3] for fact in facts] == [
        [slow, "cancelled", "29/30,"],
        [other, "completed", "3/3,"],
    ]
    plain = shell.inside("wait", slow, other)
    assert plain.out.splitlines()[-1].startswith(f"{other} completed 3/3, 0 failed, ran ")


def test_a_batch_is_found_by_the_beginning_of_its_id(shell: Shell, lines: Lines, slow: str) -> None:
    """Or by `last`; what is no id, or that of several, is told."""
    for told in (slow, slow[:20], slow.removeprefix("batch_")[:12], slow[:14] + "…", "last"):
        assert shell.inside("show", told, "--json").json["batch"]["id"] == slow
    lines(1, name="more.jsonl")
    assert shell.inside("submit", "more.jsonl", "--wait").code == 0
    several = shell.inside("show", "batch_")
    assert several.code == 2
    assert "is the beginning of several ids" in several.err
    for told in ("nosuch", "batch_" + "0" * 32):
        assert shell.inside("show", told).code == 2


def test_a_batch_is_shown_on_one_screen(desk: Desk, slow: str) -> None:
    """States, lanes, failures, and where to look further."""
    typed = desk("show", slow)
    assert typed.end() == 0
    for part in (
        f"{slow} in_progress 29/30, 3 failed",
        "name       Läuft ü",
        "states     created ",
        "→ in_progress +",
        "deadline   ",
        "lane       sim/a (realtime): ",
        "3 × 400 too_bad, such as zeile-ü-0",
        f"#/batches/{slow}",
    ):
        assert part in typed.text, part


def test_lists_fit_the_terminal_and_are_whole_in_a_pipe(desk: Desk, shell: Shell, slow: str) -> None:
    """Columns that matter less are left out where there is no room."""
    narrow, wide = desk("ls", columns=60), desk("ls", columns=160)
    assert narrow.end() == wide.end() == 0
    assert narrow.widest <= 60
    assert wide.widest <= 160
    assert slow[:13] in narrow.text
    assert "DEADLINE" not in narrow.text
    assert re.search(rf"{slow} +Läuft ü +in_progress +\d+/30 +\d+ .* in 24 h", wide.text)
    piped = shell.inside("ls")
    assert f"{slow}  Läuft ü" in piped.out
    assert "\x1b" not in piped.out


def test_lists_are_chosen_from(shell: Shell, slow: str) -> None:
    """By state, text, metadata and model; with --json as the API tells them."""

    def listed(*words: str) -> list[str]:
        return [batch["id"] for batch in shell.inside("ls", "--json", *words).json["batches"]]

    assert slow in listed("--state", "in_progress,validating", "--search", "läuft")
    assert slow not in listed("--state", "completed", "--all")
    assert slow in listed("--metadata", "name=Läuft ü")
    assert slow not in listed("--metadata", "name=anders")
    assert len(listed("--limit", "1")) == 1
    assert "There are no batches like that" in shell.inside("ls", "--search", "no such text").err


def test_a_list_can_be_watched(desk: Desk, shell: Shell, slow: str) -> None:
    """Until Ctrl-C; each change is a line where nothing can be drawn."""
    typed = desk("ls", "--watch", "--search", slow)
    typed.until("in_progress")
    plain = desk("ls", "--watch", "--search", slow, TERM="dumb")
    plain.until(f"{slow} in_progress")
    shell.inside("cancel", slow)
    for each in (typed, plain):
        each.until("cancel")
        each.press(CTRL_C)
        assert each.end() == 130
    assert "Traceback" not in typed.text + plain.text


def test_who_reads_may_leave(desk: Desk, slow: str) -> None:
    """A pipe that is closed is no fault with a trace."""
    for script in (
        "batchrouter ls | head -1",
        f"batchrouter show {slow} | head -1",
        "batchrouter ls --json | head -c 1",
    ):
        typed = desk.sh(script)
        assert typed.end() == 0
        assert "Traceback" not in typed.text
        assert "Broken" not in typed.text


def test_an_old_terminal_gets_what_its_alphabet_has(desk: Desk, slow: str) -> None:
    """And escapes for the rest."""
    typed = desk("show", slow, PYTHONIOENCODING="ascii")
    assert typed.end() == 0
    assert "name       L\\xe4uft \\xfc" in typed.text
    assert "created " in typed.text


def test_a_name_cannot_steer_the_terminal(desk: Desk, shell: Shell, lines: Lines) -> None:
    """Names are other people's text."""
    lines(1, name="evil.jsonl")
    batch_id = shell.inside("submit", "evil.jsonl", "--name", "\x1b]0;evil\x07\x1b[2Jname", "--wait").out.strip()
    typed = desk.sh(f"batchrouter show {batch_id}; batchrouter ls --limit 1")
    assert typed.end() == 0
    assert "evil\x07" not in typed.raw
    assert "\x1b[2J" not in typed.raw


def test_a_server_that_is_away_or_says_no_is_told_in_words(
    shell: Shell, server: ServerProcess, tmp_path: Path, slow: str
) -> None:
    """Exit code 3: only a person can help."""
    nobody = shell.inside("ls", "--url", "http://127.0.0.1:9")
    assert nobody.code == 3
    assert "(the url is from --url)" in nobody.err
    wrong = shell.inside("show", slow, "--key", "sk-wrong-wrong-wrong", "--json")
    assert (wrong.code, wrong.json["error"]["code"]) == (3, "invalid_api_key")
    assert "sk-wrong" not in wrong.out + wrong.err
    foreign = shell.inside("ls", "--tenant", "other")
    assert foreign.code == 3
    assert "may not do this" in foreign.err
    del shell.env["BATCHROUTER_API_KEY"]
    assert "wants an API key" in shell.inside("ls").err
    del shell.env["BATCHROUTER_URL"]
    lost = shell.inside("ls")
    assert lost.code == 3 or "usual one" in lost.err
    assert shell.inside("ls", "--data", server.folder).code == 0
    assert shell.inside("ls", "--data", server.folder, "--tenant", "nobody").code == 2
    every = json.loads(shell.inside("ls", "--data", server.folder, "--tenant", "*", "--json").out)
    assert slow in [batch["id"] for batch in every["batches"]]
