"""The examples of our pages are run as they stand: what follows `<!-- runs -->` works when it is copied."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from batchrouter.simulator.process import running_simulator
from tests.conftest import ROOT
from tests.serving import KEY, ServerProcess, config_for, environment, running_server

MARKED = re.compile(r"^<!-- runs -->\n```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SERVER, SIMULATOR = "http://127.0.0.1:8000", "http://127.0.0.1:8100"
EXAMPLES = ROOT / "examples" / "requests.jsonl"
ASKED = [json.loads(line)["custom_id"] for line in EXAMPLES.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    with running_simulator() as simulator:
        yield simulator.url


@pytest.fixture(scope="module")
def server(upstream: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with running_server(tmp_path_factory.mktemp("server"), config_for(f"{upstream}/v1")) as running:
        yield running


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder that looks like a checkout after `make install`, as far as the examples look at it."""
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples" / EXAMPLES.name).write_bytes(EXAMPLES.read_bytes())
    command = tmp_path / ".venv" / "bin" / "batchrouter"
    command.parent.mkdir(parents=True)
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m batchrouter.cli "$@"\n')
    command.chmod(0o755)
    return tmp_path


def marked(page: str, language: str) -> str:
    """The one marked example of that language."""
    found: list[str] = [
        code for each, code in MARKED.findall((ROOT / page).read_text(encoding="utf-8")) if each == language
    ]
    assert len(found) == 1
    return found[0]


def run(command: list[str], folder: Path) -> None:
    """In `folder`, with nothing of the environment of whoever runs the tests."""
    done = subprocess.run(
        command, cwd=folder, env=environment(BATCHROUTER_API_KEY=KEY), capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")


def answered(path: Path) -> list[str]:
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    assert {line["response"]["status_code"] for line in lines} == {200}
    return [line["custom_id"] for line in lines]


def test_the_curl_example_works(need: Callable[[str, str], str], server: ServerProcess, checkout: Path) -> None:
    """Upload, create, poll and download with nothing but curl and a shell."""
    need("curl", "curl")
    run(["bash", "-euo", "pipefail", "-c", marked("README.md", "bash").replace(SERVER, server.url)], checkout)
    assert answered(checkout / "answers.jsonl") == ASKED


def test_the_python_example_works(server: ServerProcess, checkout: Path) -> None:
    """The official client as anybody would use it."""
    run([sys.executable, "-c", marked("README.md", "python").replace(SERVER, server.url)], checkout)
    assert answered(checkout / "answers.jsonl") == ASKED


def test_the_javascript_example_works(need: Callable[[str, str], str], server: ServerProcess, checkout: Path) -> None:
    """fetch and FormData."""
    script = checkout / "example.mjs"
    script.write_text(marked("README.md", "js").replace(SERVER, server.url), encoding="utf-8")
    run([need("node", "nodejs"), str(script)], checkout)
    assert answered(checkout / "answers.jsonl") == ASKED


def test_the_run_example_works(upstream: str, checkout: Path) -> None:
    """One command without a server; nothing but the output stays behind."""
    before = set(os.listdir(checkout))
    run(["sh", "-ec", marked("README.md", "sh").replace(SIMULATOR, upstream)], checkout)
    assert answered(checkout / "out.jsonl") == ASKED
    assert set(os.listdir(checkout)) == before | {"out.jsonl"}


def test_the_example_that_picks_failed_lines_works(tmp_path: Path) -> None:
    """Only the lines whose ids are in the error file, as they stood."""
    lines = [json.dumps({"custom_id": word, "body": {"text": "ä\u2028"}}, ensure_ascii=False) + "\n" for word in "abc"]
    (tmp_path / "requests.jsonl").write_text("".join(lines), encoding="utf-8")
    (tmp_path / "answers.jsonl.errors.jsonl").write_text('{"custom_id": "b"}\n', encoding="utf-8")
    run([sys.executable, "-c", marked("docs/howto.md", "python")], tmp_path)
    assert (tmp_path / "again.jsonl").read_text(encoding="utf-8") == lines[1]
