"""The command as people run it: processes in a folder of their own, against a simulator."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from unittest import mock

from batchrouter.cli.main import main
from batchrouter.simulator import expected_key
from batchrouter.simulator.process import SimulatorProcess

DEADLINE_S = 30.0


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended, and all that it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@contextmanager
def logging_as_it_was() -> Iterator[None]:
    """Whatever a command that runs in this process makes of its log, the tests after it hear what they listen for."""
    root, ours = logging.getLogger(), logging.getLogger("batchrouter")
    handlers, levels = root.handlers[:], (root.level, ours.level)
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(levels[0])
        ours.setLevel(levels[1])


class Shell:
    """A working folder in which `batchrouter` is called, with an environment that names no provider."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PYTHONPATH": os.pathsep.join(part for part in sys.path if part),
            "TERM": "dumb",
        }
        self._started: list[subprocess.Popen[str]] = []

    def start(self, *arguments: object, **env: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "batchrouter.cli", *map(str, arguments)]
        process = subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.env | env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._started.append(process)
        return process

    def close(self) -> None:
        """End what a test that failed has left."""
        for process in self._started:
            if process.poll() is None:
                process.kill()
            if process.stdout is not None and not process.stdout.closed:
                process.communicate()

    def __call__(self, *arguments: object, **env: str) -> Ended:
        return end(self.start(*arguments, **env))

    def inside(self, *arguments: object) -> Ended:
        """The same in this process: for commands that start nothing and end by themselves, which is most of them.
        What is new in a process of its own is shown once for each command."""
        out, err = io.StringIO(), io.StringIO()
        with (
            mock.patch.dict(os.environ, self.env, clear=True),
            mock.patch.object(sys, "argv", ["batchrouter", *map(str, arguments)]),
            contextlib.chdir(self.folder),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            logging_as_it_was(),
        ):
            try:
                main()
            except SystemExit as ended:
                code = ended.code
        assert isinstance(code, int)
        return Ended(code, out.getvalue(), err.getvalue())

    def path(self, name: str) -> Path:
        return self.folder / name

    def config(self, base_url: str, **provider: object) -> None:
        """A batchrouter.yaml (JSON is YAML) with one provider, `sim`."""
        settings = {"type": "openai", "base_url": base_url, **provider}
        self.path("batchrouter.yaml").write_text(json.dumps({"providers": {"sim": settings}}))

    def requests(self, count: int, *, name: str = "in.jsonl", poison: int = 0) -> list[dict[str, Any]]:
        """An input file of chats with two models. One line in `poison` holds that word."""
        lines = [request(number, poison) for number in range(count)]
        self.path(name).write_text("".join(json.dumps(line) + "\n" for line in lines))
        return lines

    @contextmanager
    def server(self, *arguments: object, **env: str) -> Iterator[dict[str, Any]]:
        """A server on a free port, and what it told when it was up."""
        process = self.start("serve", "--port", 0, "--json", *arguments, **env)
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, end(process)
            yield json.loads(line)
        finally:
            process.send_signal(signal.SIGTERM)
            ended = end(process)
        assert ended.code == 0, ended.err


def request(number: int, poison: int = 0) -> dict[str, Any]:
    word = "poison" if poison and number % poison == 0 else "hello"
    body = {"model": ("a", "b")[number % 2], "messages": [{"role": "user", "content": f"{word} {number}"}]}
    return {"custom_id": f"line-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}


def end(process: subprocess.Popen[str]) -> Ended:
    try:
        out, err = process.communicate(timeout=DEADLINE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"it did not end within {DEADLINE_S:.0f} s: {out}{err}") from None
    return Ended(process.returncode, out, err)


def until(condition: Callable[[], object], process: subprocess.Popen[str] | None = None) -> None:
    """Look until it is so."""
    begun_s = monotonic()
    while not condition():
        assert monotonic() - begun_s < DEADLINE_S, "it never came to that"
        assert process is None or process.poll() is None, end(process)
        sleep(0.02)


def answers_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def assert_answered(path: Path, lines: list[dict[str, Any]]) -> None:
    """Every line once, in order, each with the answer to its own body."""
    answers = answers_of(path)
    assert [answer["custom_id"] for answer in answers] == [line["custom_id"] for line in lines]
    for answer, line in zip(answers, lines, strict=True):
        key = expected_key(json.dumps(line["body"]).encode())
        assert answer["response"]["status_code"] == 200
        assert key in answer["response"]["body"]["choices"][0]["message"]["content"]


def sent_keys(simulator: SimulatorProcess) -> list[str]:
    """The bodies that reached the simulator, in order of arrival."""
    return [entry.key for entry in simulator.log()]
