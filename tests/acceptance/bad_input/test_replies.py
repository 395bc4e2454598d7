"""Replies from hell: each shape and fault on some lines of one batch, among healthy ones."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any, get_args

import openai
import pytest

from batchrouter.simulator import Match, Rule, Script, Then
from batchrouter.simulator.process import SimulatorProcess, running_simulator
from batchrouter.simulator.script import Fault, Fixed, Shape
from tests.lines import Asked, chat, counts, errors_of, finished, jsonl, output_of, records, upload
from tests.serving import ServerProcess, config_for, running_server

ATTEMPTS = 2
EACH = 3
HEALTHY = 1_200
LATENCY_S, IN_FLIGHT = 0.2, 64
"""So that healthy lines are answered as long as bad ones are tried: else the lane would be to blame, not they."""
MAX_REPLY = 4_000_000

GOOD = {"pretty", "u2028", "crlf", "huge"}
"""Shapes that are JSON, however they look."""
WHOLE = {"two_replies", "extra_bytes", "early_close", "connection_close", "no_length", "chunked", "slow_body"}
WHOLE |= {"informational", "stream_error"}
"""Faults beside or after a reply that is whole: the answer counts, what is wrong with the connection does not. And one
of streams, which none of these is."""
CODES = {
    "html": "invalid_reply",
    "empty": "invalid_reply",
    "invalid_utf8": "invalid_reply",
    "nan": "invalid_reply",
    "deep": "invalid_reply",
    "gzip": "invalid_reply",
    "close": "connection_error",
    "close_after_head": "invalid_reply",
    "half_body": "invalid_reply",
    "reset": "connection_error",
    "upgrade": "invalid_reply",
    "hang": "timeout",
    "oversize": "reply_too_large",
    "status 204": "invalid_reply",
}
SPECIAL = {
    "oversize": Then(shape="huge", size=MAX_REPLY + 1),
    "status 500 html": Then(status=500, shape="html"),
    "status 500 empty": Then(status=500, shape="empty"),
    "status 400 html": Then(status=400, shape="html"),
    "status 204": Then(status=204, body=""),
}


def word(kind: str) -> str:
    """What a line says to be treated so; no word is part of another."""
    return f"<{kind}>"


def rules() -> Iterator[Rule]:
    for shape in get_args(Shape):
        yield Rule(match=Match(contains=word(shape)), then=Then(shape=shape))
    for fault in get_args(Fault):
        yield Rule(match=Match(contains=word(fault)), then=Then(fault=fault, over_s=0.2))
    for kind, then in SPECIAL.items():
        yield Rule(match=Match(contains=word(kind)), then=then)


KINDS = [*get_args(Shape), *get_args(Fault), *SPECIAL]


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorProcess]:
    with running_simulator(Script(latency=Fixed(LATENCY_S), rules=tuple(rules()))) as running:
        yield running


@pytest.fixture(scope="module")
def server(simulator: SimulatorProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    config = config_for(simulator.base_url, timeout=1.0, max_in_flight=IN_FLIGHT)
    config["batches"] = {"max_attempts": ATTEMPTS, "max_reply_bytes": MAX_REPLY}
    with running_server(tmp_path_factory.mktemp("replies"), config) as running:
        yield running


def test_each_line_is_answered_once_with_its_own_answer_or_a_reason(
    simulator: SimulatorProcess, client: openai.OpenAI
) -> None:
    """No reply spoils another line's, none enters a file as anything but one line of JSON, and tries are bounded."""
    asked = [(kind, chat(f"{kind}-{i}", f"{word(kind)} number {i}")) for i in range(EACH) for kind in KINDS]
    healthy = [("", chat(f"healthy-{i}", f"healthy {i}")) for i in range(HEALTHY)]
    for place, bad_line in enumerate(asked):
        healthy.insert(5 * place, bad_line)
    asked = healthy
    batch = finished(client, upload(client, jsonl(each for _, each in asked)).id)
    assert batch.status == "completed"
    output, errors = output_of(client, batch), errors_of(client, batch)
    good = [(kind, each) for kind, each in asked if not kind or kind in GOOD | WHOLE]
    bad = [(kind, each) for kind, each in asked if kind and kind not in GOOD | WHOLE]
    found = records(output)
    assert [record["custom_id"] for record in found] == [each.custom_id for _, each in good]
    for record, (kind, each) in zip(found, good, strict=True):
        body = record["response"]["body"]
        if kind in GOOD:
            body.pop("simulated", None)
        assert body == each.answer, f"{each.custom_id} has another answer"
        assert record["error"] is None
    failed = records(errors)
    assert [record["custom_id"] for record in failed] == [each.custom_id for _, each in bad]
    for record, (kind, _) in zip(failed, bad, strict=True):
        check_failure(kind, record)
    assert counts(batch) == (len(asked), len(good), len(bad))
    check_sent(simulator, asked)


def check_failure(kind: str, record: dict[str, Any]) -> None:
    """With a reply: OpenAI's error body, and `error` null; without one: a code and words."""
    if kind.startswith("status") and not kind.endswith("204"):
        status = int(kind.split()[1])
        assert record["error"] is None
        assert record["response"]["status_code"] == status
        error = record["response"]["body"]["error"]
        assert error.keys() == {"message", "type", "param", "code"}
        assert str(status) in error["message"]
    else:
        assert record["response"] is None, record
        assert record["error"].keys() == {"code", "message"}
        assert record["error"]["code"] == CODES[kind], record


def check_sent(simulator: SimulatorProcess, asked: list[tuple[str, Asked]]) -> None:
    """Healthy lines and those with a whole reply were sent once; bad ones were tried, and not for ever."""
    tries = Counter(entry.key for entry in simulator.log())
    assert tries.keys() == {each.key for _, each in asked}
    for kind, each in asked:
        if not kind or kind in GOOD | WHOLE or kind == "status 400 html":
            assert tries[each.key] == 1, each.custom_id
        else:
            # One more where the first try may have met an idle connection that was just being closed.
            assert 1 <= tries[each.key] <= ATTEMPTS + 3, (each.custom_id, tries[each.key])


def test_valid_json_is_what_splitlines_sees(client: openai.OpenAI) -> None:
    """Raw separators of lines in answers, in custom_ids and in error bodies."""
    asked = [
        Asked(f"id-\u2028-{i}\u0085\u2029", chat("x", f"{word(kind)} {i}").body)
        for i, kind in enumerate(["u2028", "crlf", "pretty", "status 400 html"])
    ]
    batch = finished(client, upload(client, jsonl(asked)).id)
    output, errors = output_of(client, batch), errors_of(client, batch)
    lines = output.decode().splitlines() + errors.decode().splitlines()
    assert sorted(json.loads(line)["custom_id"] for line in lines) == sorted(each.custom_id for each in asked)
