"""Pause, retry, resume and identical lines with a real server: what people get, and what the upstream was asked."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import Any

import openai
import pytest

from batchrouter.simulator.process import SimulatorProcess
from tests.acceptance.flows.conftest import POISON, UNHURRIED
from tests.lines import (
    CHAT,
    Asked,
    chat,
    chats,
    check_output,
    counts,
    errors_of,
    finished,
    jsonl,
    output_of,
    until,
    upload,
)


class Sent:
    """What the upstream is asked from now on."""

    def __init__(self, simulator: SimulatorProcess) -> None:
        self._simulator = simulator
        self._before = len(simulator.log())

    @property
    def keys(self) -> Counter[str]:
        return Counter(entry.key for entry in self._simulator.log()[self._before :])


@pytest.fixture
def post(client: openai.OpenAI) -> Any:
    def send(path: str, body: Any = None) -> Any:
        return client.post(path, body=body, cast_to=openai.types.Batch)

    return send


def extension(batch: openai.types.Batch) -> dict[str, Any]:
    told: dict[str, Any] = (batch.model_extra or {})["batchrouter"]
    return told


def lines_of(client: openai.OpenAI, batch: openai.types.Batch) -> dict[str, bytes]:
    """Each line of both files by custom_id, without its own id."""
    content = output_of(client, batch) + errors_of(client, batch)
    return {json.loads(line)["custom_id"]: line[50:] for line in content.splitlines()}


def test_a_retry_sends_what_failed_and_keeps_the_rest(
    simulator: SimulatorProcess, client: openai.OpenAI, post: Any
) -> None:
    """With other bodies: only those lines are asked for, and the new files hold every line once."""
    good, bad = chats(300, "steer"), [chat(f"bad-{i}", f"{POISON} {i}") for i in range(3)]
    first = finished(client, upload(client, jsonl([*good[:150], *bad, *good[150:]])).id)
    assert counts(first) == (303, 300, 3)
    sent = Sent(simulator)
    again = post(f"/batches/{first.id}/retry", {"set": {"messages": [{"role": "user", "content": "well then"}]}})
    assert extension(again)["retry_of"] == first.id
    again = finished(client, again.id)
    assert (again.status, counts(again), again.error_file_id) == ("completed", (303, 303, 0), None)
    assert extension(again)["reused"] == 300
    assert list(sent.keys.values()) == [3]  # three equal bodies
    before, after = lines_of(client, first), lines_of(client, again)
    assert {each.custom_id: after[each.custom_id] for each in good} == {
        each.custom_id: before[each.custom_id] for each in good
    }
    assert again.usage is not None
    assert first.usage is not None
    assert 0 < again.usage.total_tokens < first.usage.total_tokens / 10
    with pytest.raises(openai.BadRequestError) as refused:
        post(f"/batches/{again.id}/retry")
    assert refused.value.code == "nothing_to_retry"


def test_a_new_file_goes_on_from_an_earlier_batch(simulator: SimulatorProcess, client: openai.OpenAI) -> None:
    """What did not change is not asked again, whatever became of the old files meanwhile."""
    old = chats(200, "resume")
    first = finished(client, upload(client, jsonl(old)).id)
    new = [*reversed(old[50:]), *chats(30, "resumed")]
    sent = Sent(simulator)
    file = client.files.create(file=jsonl(new), purpose="batch")
    made = client.batches.create(
        input_file_id=file.id, endpoint=CHAT, completion_window="24h", extra_body={"resume_from": first.id}
    )
    for file_id in (first.input_file_id, first.output_file_id, file.id):
        assert file_id is not None
        client.files.delete(file_id)
    batch = finished(client, made.id)
    assert (counts(batch), extension(batch)["reused"]) == ((180, 180, 0), 150)
    assert sent.keys == Counter(each.key for each in new[150:])
    check_output(new, output_of(client, batch))


def test_identical_lines_are_asked_once(simulator: SimulatorProcess, client: openai.OpenAI) -> None:
    asked = [Asked(f"id-{i}", chat("", f"the same {i % 20}").body) for i in range(500)]
    sent = Sent(simulator)
    file = client.files.create(file=jsonl(asked), purpose="batch")
    made = client.batches.create(
        input_file_id=file.id, endpoint=CHAT, completion_window="24h", extra_body={"dedupe": True}
    )
    batch = finished(client, made.id)
    assert (counts(batch), extension(batch)["reused"]) == ((500, 500, 0), 480)
    assert sent.keys == Counter({each.key: 1 for each in asked[:20]})
    check_output(asked, output_of(client, batch))


def test_a_pause_in_the_middle_sends_nothing_more_until_it_is_over(
    simulator: SimulatorProcess, client: openai.OpenAI, post: Any
) -> None:
    asked = chats(1_500, UNHURRIED)
    sent = Sent(simulator)
    made = upload(client, jsonl(asked))
    until(client, made.id, lambda batch: counts(batch)[1] > 200)
    paused = post(f"/batches/{made.id}/pause")
    at_reply = sum(sent.keys.values())
    assert paused.status == "in_progress"
    assert extension(paused)["paused_at"] is not None
    until(client, made.id, lambda batch: all(not lane["in_flight"] for lane in extension(batch)["lanes"]), 10)
    settled_s = time.monotonic() + 10
    while counts(client.batches.retrieve(made.id))[1] != (total := sum(sent.keys.values())):
        assert time.monotonic() < settled_s, "what was sent must count"
        time.sleep(0.05)
    print(f"{total - at_reply} of {len(asked)} lines were sent after the reply to the pause")
    assert total < len(asked), "it was over before the pause"
    (lane,) = extension(client.batches.retrieve(made.id))["lanes"]
    assert (lane["state"], lane["reason"]) == ("paused", "paused_by_user")
    resumed = post(f"/batches/{made.id}/resume")
    assert extension(resumed)["paused_at"] is None
    batch = finished(client, made.id)
    assert counts(batch) == (1_500, 1_500, 0)
    assert max(sent.keys.values()) == 1
    check_output(asked, output_of(client, batch))
