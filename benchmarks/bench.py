"""What every measurement is given and what it gives back."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CORES = sorted(os.sched_getaffinity(0))  # read once, before the harness gives one of them up


class Missing(Exception):
    """Something on this machine is absent that the measurement needs; the text says what."""


class Wrong(Exception):
    """The run under measure did not do its work, so that its figures mean nothing."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table."""

    name: str
    goal: str
    measured: str
    met: bool | None = None  # None: a figure without a goal


@dataclass(frozen=True, slots=True)
class Bench:
    """Where things lie and how large the runs are."""

    out: Path
    lines: int | None = None
    rounds: int = 3

    def lines_or(self, usual: int) -> int:
        return self.lines or usual

    def shared(self, name: str) -> Path:
        path = ROOT.parent / "shared" / "bench" / name
        if not path.exists():
            raise Missing(f"the folder 'shared' beside the checkout, with bench/{name}")
        return path

    def folder(self, name: str) -> Path:
        """An empty folder of this name."""
        path = self.out / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        return path


def tool(name: str, package: str) -> str:
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if path is None:
        raise Missing(f"'{name}': apt-get install {package}")
    return path


def pinned(role: str) -> list[str]:
    """The words before a command that keep it on its core: 'test' on the first, everything else on the second."""
    if len(CORES) < 2:
        return []
    return [tool("taskset", "util-linux"), "-c", str(CORES[0] if role == "test" else CORES[1])]


def pin_harness() -> None:
    """Keep this process off the core under test."""
    if len(CORES) >= 2:
        os.sched_setaffinity(0, {CORES[1]})


def run_python(*arguments: str | Path, role: str = "other", env: Mapping[str, str] | None = None) -> str:
    """Run this Python to its end and return what it printed."""
    command = [*pinned(role), sys.executable, *map(str, arguments)]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=ROOT, env=env, check=False
    )
    if done.returncode != 0:
        raise Wrong(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    return done.stdout


def last_words(log: Path, characters: int = 600) -> str:
    return log.read_text(errors="replace")[-characters:] if log.exists() else ""
