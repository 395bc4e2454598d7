"""`batchrouter submit`: from a file to a batch, and the same again."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

from batchrouter.cli.uploading import PART_BYTES
from batchrouter.simulator.process import SimulatorProcess
from tests.acceptance.cli.rig import Shell
from tests.serving import ServerProcess
from tests.terminal.conftest import Lines, ids
from tests.terminal.rig import CTRL_C, Desk, until, valve

ID = re.compile(r"batch_[0-9a-f]{32}\n")


def test_the_id_alone_goes_to_standard_output(desk: Desk, shell: Shell, lines: Lines) -> None:
    """In a terminal and out of one; what else is to say is said beside it."""
    lines(5)
    typed = desk.sh("batchrouter submit in.jsonl --name 'Läuft' > id.txt")
    assert typed.end() == 0
    assert ID.fullmatch((desk.folder / "id.txt").read_text())
    assert "Submitted 5 lines" in typed.text
    assert "#/batches/batch_" in typed.text
    assert "\x1b" not in typed.raw
    piped = shell.inside("submit", "in.jsonl", "--name", "Läuft")
    assert piped.code == 0
    assert piped.out == (desk.folder / "id.txt").read_text()
    assert "--again makes a new batch" in piped.err


def test_the_same_again_finds_its_batch_and_anything_else_makes_a_new_one(shell: Shell, lines: Lines) -> None:
    """The lines and what is asked of them count, not the file's name; with --again nothing does."""
    lines(3)
    first = shell.inside("submit", "in.jsonl", "--json").json
    assert first["created"]
    shell.path("in.jsonl").rename(shell.path("other.jsonl"))
    assert shell.inside("submit", "other.jsonl", "--json").json["id"] == first["id"]
    others = [
        shell.inside("submit", "other.jsonl", "--json", *more).json
        for more in (["--again"], ["--metadata", "a=b"], ["--name", "b"], ["--idempotency-key", first["id"]])
    ]
    assert [other["created"] for other in others] == [True] * 4
    assert len({first["id"], *(other["id"] for other in others)}) == 5
    assert others[2]["batch"]["metadata"]["name"] == "b"
    again = shell.inside("submit", "other.jsonl", "--json", "--idempotency-key", first["id"]).json
    assert again["id"] == others[3]["id"]


def test_wishes_go_with_it_and_answers_are_reused(shell: Shell, lines: Lines, simulator: SimulatorProcess) -> None:
    """Priority, mode, identical lines once, answers of another batch, a limit of cost that could not be kept."""
    lines(4)
    wishes = ("--priority", "high", "--mode", "realtime", "--dedupe", "--window", "24h", "--metadata", "a=b=c")
    first = shell.inside("submit", "in.jsonl", *wishes, "--json")
    assert first.code == 0, first.err
    told = first.json["batch"]
    assert (told["batchrouter"]["priority"], told["batchrouter"]["dedupe"]) == ("high", True)
    assert told["metadata"]["a"] == "b=c"
    assert shell.inside("wait", "last").code == 0
    sent = len(simulator.log())
    second = shell.inside("submit", "in.jsonl", "--resume-from", first.json["id"][:20], "--wait")
    assert second.code == 0, second.err
    assert len(simulator.log()) == sent
    refused = shell.inside("submit", "in.jsonl", "--max-cost", "1")
    assert refused.code == 2
    assert "max_cost cannot be kept" in refused.err


def test_what_was_cancelled_is_submitted_anew(shell: Shell, lines: Lines) -> None:
    """A person has changed their mind once more; after that it is found again."""
    lines(2, slowly=2)
    first = shell.inside("submit", "in.jsonl").out.strip()
    shell.inside("cancel", first)
    shell.inside("wait", first)
    second = shell.inside("submit", "in.jsonl").out.strip()
    assert second != first
    assert shell.inside("submit", "in.jsonl").out.strip() == second
    shell.inside("cancel", second)


def test_ctrl_c_leaves_the_batch_running_and_the_same_command_goes_on(
    desk: Desk, shell: Shell, lines: Lines, simulator: SimulatorProcess
) -> None:
    """Every line is sent once, and the answers stand in the order of the input."""
    lines(40, slowly=1, poison=20)
    before = len(simulator.log())
    command = ("submit", "in.jsonl", "--name", "Läuft", "-o", "out.jsonl")
    first = desk(*command)
    first.until("done 39 of 40")
    first.press(CTRL_C)
    assert first.end() == 130
    assert "goes on at the server, 39/40 lines are done and kept" in first.text
    assert "The same command finds it again" in first.text
    assert not shell.path("out.jsonl").exists()
    second = desk(*command)
    second.until("done 39 of 40")
    batch_id = re.search(r"batch_[0-9a-f]{32}", second.text)
    assert batch_id is not None
    assert batch_id[0] in first.text
    assert shell.inside("cancel", batch_id[0]).code == 0
    assert second.end() == 1
    assert "2 × 400 too_bad, such as zeile-ü-0" in second.text
    assert ids(shell.path("out.jsonl")) == [f"zeile-ü-{number}" for number in range(39) if number % 20]
    assert ids(shell.path("out.jsonl.errors.jsonl")) == ["zeile-ü-0", "zeile-ü-20", "zeile-ü-39"]
    assert len(simulator.log()) - before == 40


def test_ctrl_c_in_an_upload_leaves_nothing_behind(
    desk: Desk, server: ServerProcess, lines: Lines, env: dict[str, str]
) -> None:
    """Neither a file nor a batch; the same command begins anew."""
    path = lines(32, text="x" * 300_000)
    assert path.stat().st_size > PART_BYTES
    before = server.ask("GET", "/v1/files?purpose=batch")["data"]
    with valve(server.url, up=PART_BYTES + 500_000) as link:
        typed = desk("submit", "in.jsonl", "--url", link.url)
        until(link.held.is_set)
        typed.until("uploading")
        typed.press(CTRL_C)
        assert typed.end() == 130
    assert "nothing is kept. The same command begins anew" in typed.text
    assert server.ask("GET", "/v1/files?purpose=batch")["data"] == before
    again = desk("submit", "in.jsonl")
    assert again.end() == 0
    assert "Submitted 32 lines" in again.text


def test_lines_with_errors_are_told_with_their_numbers_and_nothing_is_sent(
    desk: Desk, shell: Shell, server: ServerProcess, lines: Lines
) -> None:
    """Unless it is to be submitted all the same; then the batch tells them."""
    path = lines(4)
    good = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([good[0], "{nonsense", good[2], good[2]]) + "\n", encoding="utf-8")
    before = server.ask("GET", "/v1/files?purpose=batch")["data"]
    typed = desk("submit", "in.jsonl")
    assert typed.end() == 2
    assert "in.jsonl has 2 errors; nothing was sent" in typed.text
    assert "line 2: invalid_json" in typed.text
    assert "line 4: duplicate_custom_id" in typed.text
    assert server.ask("GET", "/v1/files?purpose=batch")["data"] == before
    refused = shell.inside("submit", "in.jsonl", "--json")
    assert (refused.code, refused.json["ok"], refused.json["exit_code"]) == (2, False, 2)
    ended = shell.inside("submit", "in.jsonl", "--no-check", "--wait")
    assert ended.code == 1
    assert re.search(r"batch_\w+ failed 0/\d+", ended.err)
    assert "line 2: invalid_json" in ended.err


def test_pipes_go_in_and_out(desk: Desk, lines: Lines) -> None:
    """Requests from standard input, every line's end on standard output, and whoever reads may leave."""
    lines(6, poison=6)
    typed = desk.sh("cat in.jsonl | batchrouter submit - -o - 2> words.txt | tee all.jsonl | head -1")
    assert typed.end() == 0
    assert json.loads(typed.text)["custom_id"] == "zeile-ü-0"
    assert ids(desk.folder / "all.jsonl") == [f"zeile-ü-{number}" for number in range(6)]
    words = (desk.folder / "words.txt").read_text()
    assert ID.search(words)
    assert "completed 6/6, 1 failed" in words


def test_a_table_goes_in_and_its_rows_come_back_with_answers(shell: Shell) -> None:
    """As with `run`, on a server."""
    shell.path("rows.csv").write_text("id,text\n7,gut\n8,schlecht\n", encoding="utf-8")
    ended = shell.inside(
        "submit", "rows.csv", "--prompt", "Lob? {text}", "--model", "a", "--id-column", "id", "-o", "out.csv"
    )
    assert ended.code == 0, ended.err
    rows = shell.path("out.csv").read_text(encoding="utf-8").splitlines()
    assert rows[0].startswith("id,text,answer")
    assert [row.split(",")[:2] for row in rows[1:]] == [["7", "gut"], ["8", "schlecht"]]
    assert "Lob? gut" in rows[1]


def test_sigterm_is_as_polite_as_ctrl_c(shell: Shell, lines: Lines) -> None:
    """A service manager interrupts too."""
    lines(1, slowly=1)
    process = shell.start("submit", "in.jsonl", "--wait")
    assert process.stdout is not None
    batch_id = process.stdout.readline().strip()
    assert process.stderr is not None
    while "running" not in (line := process.stderr.readline()):
        assert line
    process.send_signal(signal.SIGTERM)
    _, words = process.communicate(timeout=30)
    assert process.returncode == 130
    assert f"batchrouter wait {batch_id}" in words
    assert shell.inside("cancel", batch_id).code == 0


def test_a_missing_file_and_odd_options_are_told_before_a_server_is_asked(shell: Shell, tmp_path: Path) -> None:
    """Exit code 2, one sentence."""
    nowhere = {"BATCHROUTER_URL": "http://127.0.0.1:9"}
    shell.env |= nowhere
    for words in (
        ["submit", "none.jsonl"],
        ["submit", "none.jsonl", "--errors", "e"],
        ["submit", "x", "--again", "--idempotency-key", "k"],
        ["retry", "last", "--where", "finish=length"],
        ["tail", "last", "-n", "all"],
        ["ls", "--state", "done"],
        ["ls", "--metadata", "a"],
    ):
        ended = shell.inside(*words)
        assert (ended.code, ended.out) == (2, ""), words
        assert ended.err.startswith("error: ")
        assert len(ended.err.splitlines()) == 1
