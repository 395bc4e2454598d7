"""`batchrouter demo`, `simulate`, `version` and the help."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from urllib.parse import urlsplit

from batchrouter.simulator.process import SimulatorProcess
from tests.acceptance.cli.rig import Shell, end


def assert_nothing_runs(words: str) -> None:
    urls = re.findall(r"http://[0-9.]+:[0-9]+", words)
    assert len(urls) == 2, words
    for url in urls:
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", urlsplit(url).port or 0)) != 0, f"{url} still answers"


def test_the_demo_shows_a_batch_from_upload_to_download_and_leaves_nothing(shell: Shell) -> None:
    lines = shell.requests(40, name="few.jsonl")
    temporary = shell.path("tmp")
    temporary.mkdir()
    ended = shell("demo", "--file", "few.jsonl", "--json", TMPDIR=str(temporary), BATCHROUTER_API_KEY="mine")
    assert ended.code == 0, ended.err
    told = ended.json
    assert told["ok"]
    assert told["request_counts"] == {"total": 40, "completed": 40, "failed": 0}
    assert [answer["custom_id"] for answer in told["answers"]] == [line["custom_id"] for line in lines[:3]]
    assert all("hello" in answer["answer"] for answer in told["answers"])
    assert told["usage"]["total_tokens"] > 0
    assert list(temporary.iterdir()) == []
    assert_nothing_runs(ended.err)


def test_an_interrupted_demo_leaves_nothing_either(shell: Shell) -> None:
    shell.requests(3000, name="many.jsonl")
    temporary = shell.path("tmp")
    temporary.mkdir()
    process = shell.start("demo", "--file", "many.jsonl", TMPDIR=str(temporary))
    assert process.stderr is not None
    words = ""
    while "Created" not in words:
        line = process.stderr.readline()
        assert line, words
        words += line
    process.send_signal(signal.SIGINT)
    ended = end(process)
    assert ended.code == 130
    assert "Traceback" not in ended.err
    assert list(temporary.iterdir()) == []
    assert_nothing_runs(words)


def test_a_demo_without_its_requests_says_so(shell: Shell) -> None:
    ended = shell("demo", "--file", "absent.jsonl")
    assert ended.code == 2
    assert "absent.jsonl" in ended.err


def test_simulate_takes_the_options_of_the_simulator(shell: Shell) -> None:
    options = ["--port", 0, "--json", "--api-key", "k", "--models", "m-*", "--latency", "0.01", "--log-path", "log"]
    process = shell.start("simulate", *options, "--in-flight", 4, "--reject-above", 8, "--retry-after-s", 2)
    assert process.stdout is not None
    url = json.loads(process.stdout.readline())["url"]
    assert SimulatorProcess(url, process.pid).stats()["requests"] == 0
    process.send_signal(signal.SIGTERM)
    assert end(process).code == 0
    wrong = shell("simulate", "--latency", "soon")
    assert wrong.code == 2
    assert "latency 'soon'" in wrong.err


def test_version_and_help(shell: Shell) -> None:
    assert shell("version", "--json").json["ok"]
    told = shell("run", "--help").out
    for code in ("0 all lines", "1 some lines failed", "2 it could not run", "3 only a person", "130 interrupted"):
        assert code in re.sub(r"\s+", " ", told)


def test_help_loads_nothing_heavy(shell: Shell) -> None:
    """So that `--help` comes at once: what a command needs is imported when it runs."""
    code = "import sys, batchrouter.cli.main; print(sorted({m.partition('.')[0] for m in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], env=shell.env, capture_output=True, text=True, check=True)
    heavy = {"sqlalchemy", "alembic", "aiohttp", "starlette", "uvicorn", "uvloop", "yaml", "asyncio", "rich"}
    assert not heavy & set(json.loads(loaded.stdout.replace("'", '"')))
