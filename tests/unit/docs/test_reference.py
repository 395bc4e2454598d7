"""docs/errors.md and docs/api.md against the code: every code, state, reason and call."""

from __future__ import annotations

import re
from itertools import product

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


def test_every_code_of_the_api_is_told() -> None:
    """Whatever an `ApiError` can carry."""
    told = codes([row[1] for row in table(ERRORS, "status")])
    source = [text(path) for folder in ("api", "service") for path in (SOURCE / folder).glob("*.py")]
    assert told == {code for each in source for code in re.findall(r'code="(\w+)"', each)}


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


def test_every_call_of_the_api_is_told() -> None:
    """The table of calls is the table that the routes are made from, and the probes that stand beside it."""
    told = {row[0].strip("`") for row in table(API, "call")} - {"GET /healthz", "GET /readyz"}
    calls = {f"{each.method} {each.home.value[0]}{each.path}" for each in ENDPOINTS}
    assert told == {call.replace("{model:path}", "{model}") for call in calls}


def test_every_state_of_a_batch_is_told() -> None:
    """All eight, and no other."""
    assert {row[0].strip("`") for row in table(API, "status")} == set(BatchState)
