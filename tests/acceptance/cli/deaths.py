"""Run by a test: end a run at each step of putting its output in place, as `kill -9` would, and run it again.

One process forks for each step, so that imports are paid once. Prints what it found as JSON.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from batchrouter.cli import run_files
from batchrouter.cli.run import RunOptions, run
from batchrouter.cli.run_files import RunFiles
from batchrouter.errors import InputError
from batchrouter.simulator.process import SimulatorProcess
from tests.acceptance.cli.rig import Shell, assert_answered

LINES = 6
DIED = 137


def main(base_url: str) -> None:
    wrong: list[str] = []
    step = 0
    while True:
        step += 1
        shell = Shell(Path.cwd() / f"step-{step}")
        shell.folder.mkdir()
        shell.config(base_url)
        lines = shell.requests(LINES)
        died = in_child(shell, lambda step=step: die_at(step))
        if died != DIED:
            break
        code = in_child(shell, lambda: None)
        over = code == 2 and not shell.path("out.jsonl.batchrouter").exists()
        try:
            assert code == 0 or over, f"exit code {code}"
            assert_answered(shell.path("out.jsonl"), lines)
            left = {path.name for path in shell.folder.iterdir()} - {"batchrouter.yaml", "in.jsonl", "out.jsonl"}
            assert not left, f"left behind: {left}"
        except AssertionError as error:
            wrong.append(f"step {step}: {error}")
        shutil.rmtree(shell.folder)
    requests = SimulatorProcess(base_url.removesuffix("/v1"), 0).stats()["requests"]
    told = {"steps": step - 1, "wrong": wrong, "requests_sent_again": requests - LINES * step}
    sys.stdout.write(json.dumps(told))


def in_child(shell: Shell, prepare: Callable[[], None]) -> int:
    """The exit code of a run in a process of its own."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        os.chdir(shell.folder)
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        prepare()
        files = RunFiles.of(Path("in.jsonl"), Path("out.jsonl"), None)
        code = run(RunOptions(files=files, json=True))
    except InputError:
        code = 2
    except BaseException:
        traceback.print_exc()
        code = 99
    os._exit(code)


def die_at(step: int) -> None:
    """The process ends just before its `step`th change to the folder after the batch is final."""
    left = step

    def dying(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal left
            left -= 1
            if not left:
                os._exit(DIED)
            return real(*args, **kwargs)

        return call

    def armed(real: Callable[..., Any]) -> Callable[..., Any]:
        """From the first call of `place` on."""

        def call(*args: Any, **kwargs: Any) -> Any:
            for name in ("replace", "unlink", "rmdir", "fsync"):
                setattr(os, name, dying(getattr(os, name)))
            return real(*args, **kwargs)

        return call

    run_files.RunFiles.place = armed(run_files.RunFiles.place)  # type: ignore[method-assign]


if __name__ == "__main__":
    main(sys.argv[1])
