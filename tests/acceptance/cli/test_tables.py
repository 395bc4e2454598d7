"""`batchrouter run` with tables and pipes."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batchrouter.simulator import Match, Rule, Script, Then
from batchrouter.simulator.process import SimulatorProcess, running_simulator
from tests.acceptance.cli.rig import Shell, answers_of, end, sent_keys, until

ASK = ("--prompt", "Say {text}", "--model", "m")
JSON = {
    "object": "chat.completion",
    "model": "m",
    "choices": [{"index": 0, "message": {"content": '{"n": 7, "text": "so"}'}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 1},
}
RULES = (
    Rule(match=Match(contains="poison"), then=Then(status=422, code="worse")),
    Rule(match=Match(contains="please"), then=Then(status=200, body=JSON)),
)


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorProcess]:
    with running_simulator(Script(rules=RULES)) as simulator:
        yield simulator


@pytest.fixture
def here(shell: Shell, simulator: SimulatorProcess) -> Shell:
    shell.config(simulator.base_url, prices={"m": {"input": 1000000, "output": 0}})
    return shell


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def piped(shell: Shell, data: bytes, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "batchrouter.cli", "run", "-", *arguments]
    return subprocess.run(command, cwd=shell.folder, env=shell.env, input=data, capture_output=True, timeout=30)


def test_every_row_comes_back_once_with_its_answer_or_its_error(here: Shell) -> None:
    here.path("in.csv").write_bytes(b'\xef\xbb\xbfid,text\r\na,"json\r\nplease"\r\nb,poison\r\nc,\r\nd,plain\r\n')
    here.path("s.json").write_text(json.dumps({"properties": {"n": {"type": "integer"}, "text": {"type": "string"}}}))
    ended = here("run", "in.csv", *ASK, "--schema", "s.json", "--id-column", "id", "-o", "out.csv", "--json")
    assert ended.code == 1, ended.err
    assert "1 row has nothing in column 'text'" in ended.err
    assert (ended.json["completed"], ended.json["failed"], ended.json["errors"]) == (3, 1, None)
    assert ended.json["invalid_output"] == 2
    rows = rows_of(here.path("out.csv"))
    assert [(row["id"], row["text"], row["n"], row["answer_text"]) for row in rows] == [
        ("a", "json\r\nplease", "7", "so"),
        ("b", "poison", "", ""),
        ("c", "", "", ""),
        ("d", "plain", "", ""),
    ]
    assert rows[0]["answer"] == '{"n": 7, "text": "so"}'
    assert float(rows[0]["cost_usd"]) == int(rows[0]["input_tokens"]) > 0
    assert rows[1]["error"].startswith("422 worse")
    assert "Say plain" in rows[3]["answer"]
    assert [row["error"] for row in rows[2:]] == ["invalid_output: The answer is not JSON."] * 2
    assert set(os.listdir(here.folder)) == {"batchrouter.yaml", "in.csv", "s.json", "out.csv"}


def test_parquet_to_parquet_and_again(here: Shell) -> None:
    table = pa.table({"text": ["x", None, "poison"], "tags": [["a"], [], None]})
    pq.write_table(table, here.path("in.parquet"))
    assert here("run", "in.parquet", *ASK, "-o", "out.parquet", "--errors", "e.jsonl").code == 1
    made = pq.read_table(here.path("out.parquet"))
    assert made.select(["text", "tags"]).equals(table)
    assert ["Say x" in (each or "") for each in made["answer"].to_pylist()] == [True, False, False]
    assert [each["custom_id"] for each in answers_of(here.path("e.jsonl"))] == ["3"]


def test_what_differs_is_told_when_a_table_is_run_again(here: Shell, simulator: SimulatorProcess) -> None:
    """The prompt, the settings and the rows all count; what does not differ goes on."""
    here.path("in.csv").write_text("text\n" + "".join(f"row {number}\n" for number in range(200)))
    command = ("run", "in.csv", *ASK, "-o", "out.csv")
    before = len(sent_keys(simulator))
    simulator.set_script(Script(rules=(Rule(match=Match(contains="row 199"), then=Then(delay_s=60.0)), *RULES)))
    process = here.start(*command)
    until(lambda: len(sent_keys(simulator)) >= before + 200, process)
    process.kill()
    end(process)
    simulator.set_script(Script(rules=RULES))
    other = here.inside("run", "in.csv", "--prompt", "Tell {text}", "--model", "m", "-o", "out.csv")
    assert other.code == 2
    assert "row 1 has another body" in other.err
    assert here.inside(*command, "--set", "max_tokens=5").code == 2
    text = here.path("in.csv").read_text()
    here.path("in.csv").write_text(text + "one more\n")
    assert "row 201 was not there" in here.inside(*command).err
    here.path("in.csv").write_text(text)
    ended = here(*command)
    assert ended.code == 0, ended.err
    assert [f"Say row {number}" in row["answer"] for number, row in enumerate(rows_of(here.path("out.csv")))] == [
        True
    ] * 200


def test_a_table_that_changes_while_it_runs_is_not_joined_with_answers_to_another(
    here: Shell, simulator: SimulatorProcess
) -> None:
    """The answers are kept until the old table is back."""
    busy = Rule(match=Match(contains="row 1"), then=Then(status=503, retry_after_s=0.1))
    simulator.set_script(Script(rules=(busy,)))
    here.path("in.csv").write_text("text\nrow 0\nrow 1\n")
    before = len(sent_keys(simulator))
    process = here.start("run", "in.csv", *ASK, "-o", "out.csv")
    until(lambda: len(sent_keys(simulator)) >= before + 2, process)
    here.path("in.csv").write_text("text\nrow 1\nrow 0\n")
    simulator.set_script(Script(rules=RULES))
    ended = end(process)
    assert ended.code == 2
    assert "in.csv was changed while it ran: row 1 has another body" in ended.err
    assert not here.path("out.csv").exists()
    here.path("in.csv").write_text("text\nrow 0\nrow 1\n")
    sent = len(sent_keys(simulator))
    assert here("run", "in.csv", *ASK, "-o", "out.csv").code == 0
    assert len(sent_keys(simulator)) == sent
    assert ["Say row 0" in row["answer"] for row in rows_of(here.path("out.csv"))] == [True, False]


def test_a_pipe_in_and_a_pipe_out(here: Shell) -> None:
    ended = piped(here, b"text\nx\npoison\ny\n", "--format", "csv", *ASK, "-o", "-")
    assert ended.returncode == 1, ended.stderr
    lines = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [(line["custom_id"], line["response"]["status_code"]) for line in lines] == [
        ("1", 200),
        ("2", 422),
        ("3", 200),
    ]
    assert b"3 lines, 2 ok, 1 failed" in ended.stderr
    requests = b"".join(line for line in here_requests(here))
    ended = piped(here, requests, "-o", "-", "--to", "csv")
    rows = list(csv.DictReader(ended.stdout.decode().splitlines()))
    assert [row["custom_id"] for row in rows] == ["line-0", "line-1"]
    assert os.listdir(here.folder) == ["batchrouter.yaml"]


def here_requests(shell: Shell) -> list[bytes]:
    shell.requests(2, name="made.jsonl")
    data = shell.path("made.jsonl").read_bytes()
    shell.path("made.jsonl").unlink()
    return data.splitlines(keepends=True)


def test_a_reader_that_leaves_early_loses_nothing(here: Shell, simulator: SimulatorProcess) -> None:
    """It ends quietly, and the same command gives the whole answer without asking again."""
    here.path("in.csv").write_text("text\n" + "".join(f"{'word ' * 40}{number}\n" for number in range(400)))
    before = len(sent_keys(simulator))
    command = f"{sys.executable} -m batchrouter.cli run in.csv --prompt 'Say {{text}}' --model m -o -"
    script = f"{command} | head -c 100; code=${{PIPESTATUS[0]}}; echo; echo $code"
    ended = subprocess.run(["bash", "-c", script], cwd=here.folder, env=here.env, capture_output=True, timeout=30)
    assert ended.stdout.splitlines()[-1] == b"1"
    assert b"Traceback" not in ended.stderr
    assert b"error" not in ended.stderr
    again = here("run", "in.csv", *ASK, "-o", "-")
    assert again.code == 0, again.err
    assert len(again.out.splitlines()) == 400
    assert len(sent_keys(simulator)) == before + 400
    assert set(os.listdir(here.folder)) == {"batchrouter.yaml", "in.csv"}


def test_what_is_wrong_is_told_before_anything_is_sent(here: Shell, simulator: SimulatorProcess) -> None:
    before = len(sent_keys(simulator))
    here.path("in.csv").write_text("id,text\na,x\na,y\n")
    doubled = here("run", "in.csv", *ASK, "--id-column", "id", "-o", "out.csv")
    assert doubled.code == 2
    assert "row 2: duplicate_custom_id" in doubled.err
    assert (
        "did you mean 'text'?" in here.inside("run", "in.csv", "--prompt", "{txt}", "--model", "m", "-o", "o.csv").err
    )
    assert "-o - and --json" in here.inside("run", "in.csv", *ASK, "-o", "-", "--json").err
    assert len(sent_keys(simulator)) == before
    assert set(os.listdir(here.folder)) == {"batchrouter.yaml", "in.csv"}
