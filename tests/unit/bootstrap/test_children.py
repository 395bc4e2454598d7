"""Children are kept running, and end with us. They are shells here: what they do does not matter."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from batchrouter.bootstrap import children
from batchrouter.bootstrap.children import Children

# Says what it hears; ends with the last line of its input, as our processes do.
SHELL = 'trap "echo term >> $0; exit 0" TERM; echo up; echo up >> $0; read line; echo eof >> $0'


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - other processes know nothing of events
            await asyncio.sleep(0.01)


def heard(notes: Path) -> list[str]:
    return notes.read_text().split()


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    path = tmp_path / "notes"
    path.touch()
    return path


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "WAITS_S", (0.01, 0.02))


@pytest.fixture
async def family(notes: Path) -> AsyncIterator[Children]:
    made = Children(["bash", "-c", SHELL, str(notes)], 2)
    made.start()
    await until(lambda: heard(notes) == ["up", "up"] and len(made.pids) == 2)
    yield made
    await made.stop(0.0)


async def test_one_that_dies_is_started_again(family: Children, notes: Path, caplog: pytest.LogCaptureFixture) -> None:
    """And that is told."""
    victim, other = family.pids
    with caplog.at_level(logging.ERROR):
        os.kill(victim, 9)
        await until(lambda: heard(notes).count("up") == 3 and len(family.pids) == 2)
    assert other in family.pids
    assert victim not in family.pids
    assert f"({victim}) ended with -9; it is started again in 0.0 s" in caplog.text


async def test_all_are_asked_to_stop_and_waited_for(family: Children, notes: Path) -> None:
    """And none is started again."""
    await family.stop(10.0)
    assert heard(notes) == ["up", "up", "term", "term"]
    assert family.pids == []


async def test_one_that_does_not_stop_is_killed(notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "LATE_S", 0.05)
    shell = 'trap "" TERM; echo up >> $0; while :; do sleep 1; done'
    deaf = Children(["bash", "-c", shell, str(notes)], 1)
    deaf.start()
    await until(lambda: heard(notes) == ["up"] and bool(deaf.pids))
    await deaf.stop(0.0)
    assert deaf.pids == []


async def test_what_cannot_be_started_is_told_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    none = Children(["/no/such/program"], 1)
    with caplog.at_level(logging.ERROR):
        none.start()
        await until(lambda: caplog.text.count("could not be started: No such file") >= 2)
    await none.stop(0.0)
