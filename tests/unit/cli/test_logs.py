"""The log: one line for each record, with ids as fields, and never a message that others wrote into an exception."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from batchrouter.cli.logs import log_to_stderr, use_configured

BATCH, WORKER, JOB, REQUEST = f"batch_{'0f' * 16}", f"w-{'1a' * 8}", f"job_{'2b' * 12}", f"req_{'3c' * 16}"
SECRET = "sk-secret and a prompt"
log = logging.getLogger("batchrouter.test")


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("batchrouter")
    kept = root.handlers[:], root.level, ours.level
    yield
    root.handlers[:], root.level, ours.level = kept[0], kept[1], kept[2]  # type: ignore[misc]


def told(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_each_line_is_an_object_with_the_ids_that_it_names(capsys: pytest.CaptureFixture[str]) -> None:
    log_to_stderr("info", "json")
    log.info("%s of %s is taken by worker %s", JOB, BATCH, WORKER)
    log.warning("lane openai/gpt-5 (batch) is paused until %s: no credit", 5)
    log.warning("GET /v1/files (%s): the client went away", REQUEST)
    log.debug("nothing of this")
    first, second, third = told(capsys)
    assert {name: first[name] for name in ("batch", "worker", "job")} == {"batch": BATCH, "worker": WORKER, "job": JOB}
    assert (first["level"], first["logger"]) == ("info", "batchrouter.test")
    assert first["time"].endswith("+00:00")
    assert first["message"] == f"{JOB} of {BATCH} is taken by worker {WORKER}"
    assert second["lane"] == "openai/gpt-5"
    assert third["request_id"] == REQUEST


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_record_takes_two_lines(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever puts line ends into a path cannot write a line of the log."""
    log_to_stderr("info", form)
    log.error("GET %s failed", "/v1/x\r\n2026-01-01 ERROR batchrouter: made up\u0085\x1b[2J")
    (line,) = capsys.readouterr().err.split("\n")[:-1]
    assert "\x1b" not in line
    assert "made up" in line


@pytest.mark.parametrize("form", ["text", "json"])
def test_of_an_exception_the_kind_and_place_are_told(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    log_to_stderr("info", form)
    try:
        raise KeyError(SECRET)
    except KeyError:
        logging.getLogger("uvicorn.error").exception("Exception in ASGI application\n")
    text = capsys.readouterr().err
    assert "KeyError at " in text
    assert "test_logs.py" in text
    assert SECRET not in text


async def test_what_asyncio_knows_of_a_task_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    """The loop's own word on a task that nobody waited for has the exception in it, as it would be printed."""
    log_to_stderr("info", "text")

    async def fail() -> None:
        raise ValueError(SECRET)

    task = asyncio.ensure_future(fail())
    await asyncio.wait({task})
    asyncio.get_running_loop().default_exception_handler(
        {"message": "Task exception was never retrieved", "exception": task.exception(), "task": task}
    )
    text = capsys.readouterr().err
    assert "Task exception was never retrieved" in text
    assert "ValueError at " in text
    assert SECRET not in text


def test_others_are_heard_from_a_warning_on(capsys: pytest.CaptureFixture[str]) -> None:
    """At debug a driver tells statements with their values."""
    log_to_stderr("debug", "json")
    logging.getLogger("driver").info(SECRET)
    log.debug("ours")
    assert [line["message"] for line in told(capsys)] == ["ours"]


def test_the_command_line_wins_over_the_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    log_to_stderr("info")
    use_configured("json")
    log.info("one")
    assert [line["message"] for line in told(capsys)] == ["one"]
    log_to_stderr("info", "text")
    use_configured("json")
    log.info("two")
    assert " INFO batchrouter.test: two\n" in capsys.readouterr().err
