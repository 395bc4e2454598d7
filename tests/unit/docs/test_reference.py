"""The reference against the code: what is made from it is as it would be made now, and what is written by hand leaves
no code, state or reason out."""

from __future__ import annotations

import ast
import re
from itertools import product

import pytest

from batchrouter.api.endpoints import ENDPOINTS
from batchrouter.cli import words
from batchrouter.domain import line_errors
from batchrouter.domain.lane_health import LaneState
from batchrouter.domain.lifecycle import BatchState
from batchrouter.domain.line_errors import LineFault, line_error
from batchrouter.domain.outcome import Outcome
from batchrouter.domain.output_line import gap_line
from batchrouter.domain.retry import reason_of
from batchrouter.errors import ConnectFailed, ConnectionLost, ReplyBroken, ReplyTimeout, ReplyTooLarge
from scripts.make_reference import MADE, made
from scripts.reference import calls, commands
from tests.conftest import ROOT
from tests.unit.docs.pages import DOCS, table, text

ERRORS = DOCS / "errors.md"
API = DOCS / "api.md"
SOURCE = ROOT / "src" / "batchrouter"


def codes(first_cells: list[str]) -> set[str]:
    return set(re.findall(r"`(\w+)`", " ".join(first_cells)))


def test_every_code_of_a_refused_file_is_told() -> None:
    """Those of lines, of files, and the one that the engine gives for a missing file."""
    told = table(ERRORS, "code")
    of_files = [row[0] for row in told if row[1] == "file"]
    of_lines = [row[0] for row in told if row[1] == "line"]
    assert codes(of_lines) == {line_error(fault, 1).code for fault in LineFault if fault}
    whole = [line_errors.empty_file(), line_errors.more_errors(2)]
    limits = (line_errors.too_many_requests, line_errors.file_too_large, line_errors.too_many_embedding_inputs)
    whole += [told_of(2, 1) for told_of in limits] + [line_errors.too_many_lanes(1)]
    ingest = re.findall(r'code="(\w+)"', text(SOURCE / "engine" / "ingest.py"))
    assert codes(of_files) == {error.code for error in whole} | set(ingest)


def test_every_code_of_an_error_line_is_told() -> None:
    """What the closing of a batch writes, and what a lane writes for a line without a usable reply."""
    told = {row[0].strip("`") for row in table(ERRORS, "code") if row[-1] in ("yes", "no")}
    gaps = b"".join(gap_line(b"", 0, b'""', outcome) for outcome in (Outcome.EXPIRED, Outcome.CANCELLED)).decode()
    lane = text(SOURCE / "engine" / "line_end.py")
    transport = re.search(r"^_TRANSPORT_CODES = \{(.*?)^\}", lane, re.MULTILINE | re.DOTALL)
    assert transport is not None
    found = set(re.findall(r'"code":"(\w+)"', gaps + lane)) | set(re.findall(r': "(\w+)"', transport[1]))
    assert told == found


def api_errors() -> set[tuple[str, str]]:
    """(status, code) of every error that is made for the API; a dash where it has no code, no status where a code is
    given to a function that makes the error."""
    found = set()
    for folder in ("api", "service"):
        for path in (SOURCE / folder).glob("*.py"):
            for node in ast.walk(ast.parse(text(path))):
                if isinstance(node, ast.Assign):
                    found |= {("", word) for word in _assigned_codes(node)}
                if not isinstance(node, ast.Call):
                    continue
                made = isinstance(node.func, ast.Name) and node.func.id == "ApiError"
                code = next((each.value for each in node.keywords if each.arg == "code"), None)
                status = node.args[0] if made else None
                if (made and code is None) or (isinstance(code, ast.Constant) and isinstance(code.value, str)):
                    word = "–" if code is None else str(ast.literal_eval(code))
                    found.add((str(status.value) if isinstance(status, ast.Constant) else "", word))
    return found


def _assigned_codes(node: ast.Assign) -> list[str]:
    """Words that are assigned to the name `code`, alone or among others: `message, code = "…", "results_gone"`."""
    target = node.targets[0]
    names = target.elts if isinstance(target, ast.Tuple) else [target]
    values = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
    return [
        each.value
        for name, each in zip(names, values, strict=False)
        if isinstance(name, ast.Name) and name.id == "code"
        if isinstance(each, ast.Constant) and isinstance(each.value, str)
    ]


def test_every_error_of_the_api_is_told_with_its_status() -> None:
    """Every code that is given to an error, and no other."""
    told = {(row[0], code) for row in table(ERRORS, "status") for code in re.findall(r"[\w–]+", row[1])}
    assert {code for _, code in api_errors()} == {code for _, code in told}
    assert {error for error in api_errors() if error[0]} - told == set()


def test_every_state_and_reason_of_a_lane_is_told() -> None:
    """A person who reads why a batch waits finds what to do."""
    states = [row[0] for row in table(ERRORS, "state")]
    assert states == [f"`{state}`" for state in LaneState]
    told = {row[0] for row in table(ERRORS, "reason")}
    replies = product(
        (301, 401, 402, 403, 404, 405, 429, 500, 503, 529), (None, "insufficient_quota", "invalid_api_key")
    )
    failures = (ConnectFailed(), ReplyTimeout(), ConnectionLost(), ReplyTooLarge(), ReplyBroken())
    given = {reason_of(status, code) for status, code in replies}
    # Status and code follow in brackets, what to do after a colon.
    given = {re.split(r" \(", reason)[0] for reason in given} | {reason_of(None, None, each) for each in failures}
    unknown = re.findall(
        r"provider '\{[\w.]+\}' ([^\"]+)",
        text(SOURCE / "bootstrap" / "upstreams.py") + text(SOURCE / "bootstrap" / "wires.py"),
    )
    assert told == given | {f"provider … {rest}" for rest in unknown}


def test_every_exit_code_is_told() -> None:
    """Scripts rely on them."""
    known = {words.OK, words.SOME_FAILED, words.REFUSED, words.NEEDS_PERSON, words.INTERRUPTED}
    assert {int(row[0]) for row in table(ERRORS, "code") if row[0].isdigit()} == known


@pytest.mark.parametrize("name", MADE)
def test_what_is_made_is_as_the_code_has_it(name: str) -> None:
    """Calls, settings, commands and metrics, with their types, bounds, defaults and words."""
    is_now, to_be = made(name)
    assert is_now == to_be, "run `make reference`, and write what the new rows of its tables mean"


def test_what_is_made_has_every_call_and_command() -> None:
    """The makers leave nothing out: what is routed and what can be typed."""
    page = text(DOCS / "reference" / "api.md")
    routed = {f"{each.method} {each.home.value[0]}{each.path}".replace(":path}", "}") for each in ENDPOINTS}
    assert {call for call in routed if f"### `{call}`" not in page} == set()
    assert {name for name in commands.commands() if f"## `batchrouter {name}`" not in commands.page()} == set()
    assert len(calls.calls()) == len(routed) + 2  # the two probes


def test_every_state_of_a_batch_is_told() -> None:
    """All eight, and no other."""
    assert {row[0].strip("`") for row in table(API, "status")} == set(BatchState)
