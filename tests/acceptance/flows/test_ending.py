"""How a batch ends early: by cancel and by its window. What was finished is delivered, the rest is told as not done."""

from __future__ import annotations

import time

import openai
import pytest

from batchrouter.simulator.process import SimulatorProcess
from tests.acceptance.flows.conftest import SLOW, WINDOW, WINDOW_S
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
    records,
    until,
    upload,
)


def mixed(name: str) -> tuple[list[Asked], list[Asked], list[Asked]]:
    """All lines, those that are answered at once, and those that would take minutes, in turn."""
    quick = chats(100, name)
    slow = [chat(f"{name}-slow-{i:03d}", f"{name} {SLOW} {i}", "slow-model") for i in range(100)]
    return [line for pair in zip(quick, slow, strict=True) for line in pair], quick, slow


def check_gaps(asked: list[Asked], content: bytes, code: str) -> None:
    found = records(content)
    assert [record["custom_id"] for record in found] == [each.custom_id for each in asked]
    assert {(record["response"], record["error"]["code"]) for record in found} == {(None, code)}
    assert len({record["id"] for record in found}) == len(found)


def test_cancel_ends_within_a_second_closes_the_calls_and_keeps_what_is_done(
    simulator: SimulatorProcess, client: openai.OpenAI
) -> None:
    asked, quick, slow = mixed("cancel")
    made = upload(client, jsonl(asked))
    until(client, made.id, lambda batch: counts(batch) == (200, 100, 0))
    before = time.monotonic()
    answer = client.batches.cancel(made.id)
    assert answer.status == "cancelling"
    assert (answer.cancelling_at or 0) >= answer.created_at
    assert (answer.output_file_id, answer.error_file_id) == (None, None)
    batch = finished(client, made.id, 5)
    took_s = time.monotonic() - before
    print(f"cancelled after {took_s:.2f} s")
    assert took_s < 1.5
    assert (batch.status, counts(batch)) == ("cancelled", (200, 100, 0))
    check_output(quick, output_of(client, batch))
    check_gaps(slow, errors_of(client, batch), "batch_cancelled")
    keys = {each.key for each in slow}
    ends = {entry.end for entry in simulator.log() if entry.key in keys}
    assert ends == {"client_closed"}
    assert client.batches.cancel(made.id) == batch  # a second cancel is welcome and changes nothing


def test_cancel_before_anything_was_sent_answers_every_line_as_cancelled(client: openai.OpenAI) -> None:
    asked = [chat(f"early-{i}", f"early {SLOW} {i}", "slow-model") for i in range(1_000)]
    made = upload(client, jsonl(asked))
    client.batches.cancel(made.id)
    batch = finished(client, made.id, 5)
    assert (batch.status, counts(batch)[1:]) == ("cancelled", (0, 0))
    assert batch.output_file_id is None
    check_gaps(asked, errors_of(client, batch), "batch_cancelled")


def test_a_completed_batch_cannot_be_cancelled(client: openai.OpenAI) -> None:
    batch = finished(client, upload(client, jsonl(chats(3, "late"))).id)
    with pytest.raises(openai.ConflictError, match="Cannot cancel a batch with status 'completed'"):
        client.batches.cancel(batch.id)
    assert client.batches.retrieve(batch.id) == batch


def test_what_the_window_cuts_off_expires_and_the_rest_is_delivered(
    simulator: SimulatorProcess, client: openai.OpenAI
) -> None:
    asked, quick, slow = mixed("expiry")
    made = upload(client, jsonl(asked), window=WINDOW)
    assert made.expires_at == made.created_at + WINDOW_S
    batch = finished(client, made.id, WINDOW_S + 5)
    assert (batch.status, counts(batch)) == ("expired", (200, 100, 0))
    assert batch.expired_at is not None
    assert batch.expires_at is not None
    assert 0 <= batch.expired_at - batch.expires_at <= 2
    assert (batch.completed_at, batch.failed_at, batch.cancelled_at) == (None, None, None)
    check_output(quick, output_of(client, batch))
    check_gaps(slow, errors_of(client, batch), "batch_expired")
    assert "before the completion window expired" in errors_of(client, batch).decode()
    keys = {each.key for each in slow}
    assert {entry.end for entry in simulator.log() if entry.key in keys} == {"client_closed"}
    with pytest.raises(openai.ConflictError):
        client.batches.cancel(made.id)


def test_a_window_that_is_not_configured_is_refused(client: openai.OpenAI) -> None:
    file = client.files.create(file=jsonl(chats(1, "window")), purpose="batch")
    with pytest.raises(openai.BadRequestError) as caught:
        client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="48h")  # type: ignore[arg-type]
    assert (caught.value.param, caught.value.code) == ("completion_window", "invalid_value")
