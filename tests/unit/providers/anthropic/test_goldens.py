"""Each golden file of translation is what the wire makes, and what both vendors' types take."""

from __future__ import annotations

import json
from typing import Any

import pytest

from batchrouter.domain.retry import Kind, classify
from batchrouter.providers.anthropic import facts_of
from tests.golden import goldens
from tests.golden.rows import ROWS
from tests.unit.providers.anthropic.judge import check_answer, check_params

GOLDENS = {name: goldens.load(name) for name in goldens.names()}
SENT = [name for name, golden in GOLDENS.items() if "sent" in golden and golden["endpoint"] != "/v1/messages"]
ANSWERED = [name for name, golden in GOLDENS.items() if "answer" in golden]


@pytest.mark.parametrize("name", GOLDENS)
def test_the_wire_makes_what_the_file_says(name: str) -> None:
    """`python scripts/review_goldens.py` shows what differs."""
    assert goldens.made(GOLDENS[name]) == GOLDENS[name]
    assert (goldens.FOLDER / f"{name}.json").read_text() == goldens.text(GOLDENS[name])


@pytest.mark.parametrize("name", SENT)
def test_what_is_sent_is_what_the_vendors_types_take(name: str) -> None:
    """Each message, block and tool by its own type, and no member that the type has not."""
    golden = GOLDENS[name]
    check_params(golden["sent"], sampling=facts_of(golden["model"]).sampling)
    assert not golden.get("batch") or not {"stream", "speed"} & golden["sent"].keys()


@pytest.mark.parametrize("name", ANSWERED)
def test_what_people_get_is_what_their_client_takes(name: str) -> None:
    """An answer or an error, by OpenAI's types; those of /v1/messages by Anthropic's."""
    check_answer(GOLDENS[name]["endpoint"], GOLDENS[name]["answer"]["body"])


@pytest.mark.parametrize("name", ANSWERED)
def test_an_answer_is_one_line(name: str) -> None:
    """Whatever a text holds: the wire gives bytes that no reader of lines breaks."""
    golden = GOLDENS[name]
    reply = golden["reply"]
    body = json.dumps(reply["body"], ensure_ascii=False) if "body" in reply else reply.get("stream") or reply["text"]
    told = goldens.wire_of(golden).decode(golden["endpoint"], reply["status"], body.encode()).body
    assert len(told.decode().splitlines()) == 1


def test_every_row_of_the_tables_has_a_file() -> None:
    """And no file tells of a row that there is not."""
    told = {row for golden in GOLDENS.values() for row in golden["rows"]}
    assert told == set(ROWS)
    assert len(GOLDENS) >= 60


@pytest.mark.parametrize("golden", GOLDENS.values(), ids=GOLDENS)
def test_a_file_is_a_case(golden: dict[str, Any]) -> None:
    """It says what it shows, and shows either a refusal or what is sent and answered."""
    assert golden["about"].endswith(".")
    assert golden["about"] == golden["about"].strip()
    assert ("refused" in golden) != ("sent" in golden or "answer" in golden)


KINDS = {
    "error-api": Kind.TRANSIENT,
    "error-authentication": Kind.LANE_DOWN,
    "error-billing": Kind.LANE_DOWN,
    "error-conflict": Kind.TRANSIENT,
    "error-context-length": Kind.LINE_FAULT,
    "error-contract-limit": Kind.LANE_DOWN,
    "error-credit": Kind.LANE_DOWN,
    "error-invalid-request": Kind.LINE_FAULT,
    "error-messages": Kind.BUSY,
    "error-new": Kind.LINE_FAULT,
    "error-not-found-model": Kind.LINE_FAULT,
    "error-not-found-path": Kind.FORBIDDEN,
    "error-on-hold": Kind.LANE_DOWN,
    "error-overloaded": Kind.BUSY,
    "error-permission": Kind.FORBIDDEN,
    "error-proxy": Kind.TRANSIENT,
    "error-ramp": Kind.BUSY,
    "error-rate-limit": Kind.BUSY,
    "error-request-too-large": Kind.LINE_FAULT,
    "error-spend-limit": Kind.LANE_DOWN,
    "error-timeout": Kind.TRANSIENT,
}


@pytest.mark.parametrize("name", [name for name in GOLDENS if name.startswith("error-")])
def test_the_engine_understands_every_error(name: str) -> None:
    """A dead account pauses its lane, a bad line fails alone, a busy provider is waited for."""
    golden = GOLDENS[name]
    assert classify(golden["reply"]["status"], golden["answer"].get("code")) is KINDS[name]
