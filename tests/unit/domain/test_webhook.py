"""Webhooks, decided: the table of deliveries, the schedule, what an answer means, payload and signature."""

from __future__ import annotations

import itertools
import json
import time
from dataclasses import replace
from typing import Any

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrouter.domain.batch import Event
from batchrouter.domain.webhook import (
    DELIVERY,
    EVENTS,
    JITTER,
    TEST_EVENT,
    TOLD_ATTEMPTS,
    USUAL_EVENTS,
    WAITS_S,
    WINDOW_MS,
    Answer,
    DeliveryEvent,
    DeliveryState,
    Endpoint,
    delivery_step,
    first_delivery,
    judged,
    key_of,
    next_attempt_ms,
    payload_of,
    secret_of,
    signature,
    signed_headers,
    trial_delivery,
)
from batchrouter.errors import IllegalTransition

START_MS = 1_700_000_000_000
ENDPOINT = Endpoint(
    id="we_1", tenant_id="t", url="https://example.com", events=USUAL_EVENTS, description="", secret="", created_ms=0
)
DELIVERY_MADE = first_delivery(ENDPOINT, Event(batch_id="batch_a", no=3, type="batch.completed", at_ms=START_MS))


@pytest.mark.parametrize(("state", "event"), list(itertools.product(DeliveryState, DeliveryEvent)))
def test_a_delivery_moves_by_its_table_alone(state: DeliveryState, event: DeliveryEvent) -> None:
    """Every cell."""
    if event in DELIVERY[state]:
        assert delivery_step(state, event) is DELIVERY[state][event]
    else:
        with pytest.raises(IllegalTransition, match=f"{state}.*{event}"):
            delivery_step(state, event)


def test_the_usual_events_are_openais_four() -> None:
    """A batch's beginning is told only where it is asked for."""
    assert set(USUAL_EVENTS) == {"batch.completed", "batch.failed", "batch.expired", "batch.cancelled"}
    assert set(EVENTS) - set(USUAL_EVENTS) == {"batch.in_progress"}


def test_the_signature_is_that_of_the_test_vector() -> None:
    """The vector of OpenAI's Python client (tests/lib/test_webhooks.py)."""
    body = (
        b'{"id": "evt_685c059ae3a481909bdc86819b066fb6", "object": "event", "created_at": 1750861210, '
        b'"type": "response.completed", "data": {"id": "resp_123"}}'
    )
    secret, id_ = "whsec_RdvaYFYUXuIFuEbvZHwMfYFhUf7aMYjYcmM24+Aj40c=", "wh_685c059ae39c8190af8c71ed1022a24d"
    assert signature(id_, 1750861210, body, secret) == "v1,gUAg4R2hWouRZqRQG4uJypNS8YK885G838+EHb4nKBY="


def test_each_secret_signs() -> None:
    """The newest first, as long as the former one is good."""
    old, new = secret_of(b"o" * 32), secret_of(b"n" * 32)
    rotated = replace(ENDPOINT, secret=new, former_secret=old, former_until_ms=START_MS)
    assert rotated.secrets(START_MS - 1) == (new, old)
    assert rotated.secrets(START_MS) == (new,)
    headers = signed_headers("wh_1", 5, b"{}", (new, old))
    assert headers["webhook-signature"].split(" ") == [signature("wh_1", 5, b"{}", each) for each in (new, old)]
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == ("wh_1", "5")


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_!!", "whsec_c2hvcnQ=", "sk_" + "A" * 44, "whsec_" + "A" * 100])
def test_what_is_no_secret_is_refused_without_telling_it(secret: str) -> None:
    """24 to 64 bytes in base64 behind the prefix."""
    with pytest.raises(ValueError, match="whsec_") as raised:
        key_of(secret)
    assert len(secret) < 8 or secret not in str(raised.value)


def test_the_payload_is_as_thin_as_openais() -> None:
    """The same bytes each time; seconds."""
    assert json.loads(payload_of(DELIVERY_MADE)) == {
        "id": "evt_a_3", "object": "event", "created_at": START_MS // 1000, "type": "batch.completed",
        "data": {"id": "batch_a"},
    }  # fmt: skip
    trial = json.loads(payload_of(trial_delivery(ENDPOINT, "x", START_MS)))
    assert (trial["id"], trial["type"], trial["data"]) == ("evt_x", "webhook.test", {"id": "batch_test"})
    assert "." not in DELIVERY_MADE.id


@pytest.mark.parametrize("type_", [*EVENTS, TEST_EVENT])
def test_openais_client_reads_every_event(type_: str) -> None:
    """Its own four as its own types; the others, of which it does not know, by their members."""
    secret, now_s = secret_of(b"s" * 32), int(time.time())
    made = replace(DELIVERY_MADE, type=type_)
    body = payload_of(made)
    told: Any = openai.OpenAI(api_key="x", webhook_secret=secret).webhooks.unwrap(
        body, signed_headers(made.id, now_s, body, (secret,))
    )
    assert (told.type, told.id, told.data.id, told.created_at) == (type_, "evt_a_3", "batch_a", START_MS // 1000)


# --- the schedule ---------------------------------------------------------------------------------------------------


def test_the_schedule_is_that_of_standard_webhooks_to_72_hours() -> None:
    """Ten attempts; the last when the window closes."""
    now, times = START_MS, [0]
    for attempts in itertools.count(1):
        following = next_attempt_ms(attempts, START_MS, now, 0.5)
        if following is None:
            break
        now = following
        times.append((now - START_MS) // 1000)
    assert times == [0, 5, 305, 2105, 9305, 27305, 63305, 113705, 185705, 259200]


@given(
    attempts=st.integers(1, 1000), passed_ms=st.integers(0, 2 * WINDOW_MS), fraction=st.floats(0, 1, exclude_max=True),
    told_s=st.none() | st.floats(0, 1e9),
)  # fmt: skip
def test_a_next_attempt_is_later_and_never_behind_the_window(
    attempts: int, passed_ms: int, fraction: float, told_s: float | None
) -> None:
    """And, where the receiver says nothing, about when the schedule says."""
    now_ms = START_MS + passed_ms
    found = next_attempt_ms(attempts, START_MS, now_ms, fraction, told_s)
    if found is None:
        assert passed_ms >= WINDOW_MS
        return
    assert now_ms < found <= START_MS + WINDOW_MS
    if told_s is None and found < START_MS + WINDOW_MS:
        usual_ms = WAITS_S[min(attempts, len(WAITS_S)) - 1] * 1000
        assert abs(found - now_ms - usual_ms) <= JITTER * usual_ms + 1


def test_a_receiver_says_when_it_wants_to_be_asked() -> None:
    """Sooner than the schedule some times, later always."""
    assert next_attempt_ms(5, START_MS, START_MS, 0.5, 30.0) == START_MS + 30_000
    assert next_attempt_ms(1, START_MS, START_MS, 0.5, 600.0) == START_MS + 600_000
    assert next_attempt_ms(1, START_MS, START_MS, 0.5, 0.0) == START_MS + 1_000
    assert next_attempt_ms(TOLD_ATTEMPTS + 1, START_MS, START_MS, 0.5, 1.0) == START_MS + 86_400_000
    assert next_attempt_ms(1, START_MS, START_MS, 0.5, 1e12) == START_MS + WINDOW_MS


# --- what an answer means -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "event"),
    [
        (200, DeliveryEvent.DELIVER), (204, DeliveryEvent.DELIVER), (299, DeliveryEvent.DELIVER),
        (301, DeliveryEvent.RETRY), (307, DeliveryEvent.RETRY), (304, DeliveryEvent.RETRY), (400, DeliveryEvent.RETRY),
        (404, DeliveryEvent.RETRY), (410, DeliveryEvent.GIVE_UP), (429, DeliveryEvent.RETRY),
        (500, DeliveryEvent.RETRY), (503, DeliveryEvent.RETRY), (None, DeliveryEvent.RETRY),
    ],
)  # fmt: skip
def test_only_2xx_is_a_success_and_410_disables(status: int | None, event: DeliveryEvent) -> None:
    """Everything else is tried again, and the log says why."""
    verdict = judged(Answer(status=status, error=None), DELIVERY_MADE, START_MS, START_MS + 40, 0.5)
    assert verdict.event is event
    assert (verdict.disable is not None) == (status == 410)
    assert (verdict.attempt.at_ms, verdict.attempt.status, verdict.attempt.took_ms) == (START_MS, status, 40)
    assert (verdict.attempt.error is None) == (event is DeliveryEvent.DELIVER)
    assert (verdict.next_ms is None) == (event is not DeliveryEvent.RETRY)


def test_retry_after_counts_with_429_and_503_alone() -> None:
    """Whatever else has it means something else by it."""
    for status, wait_ms in ((429, 60_000), (503, 60_000), (500, 5_000), (301, 5_000)):
        answer = Answer(status=status, error=None, retry_after_s=60.0)
        assert judged(answer, DELIVERY_MADE, START_MS, START_MS, 0.5).next_ms == START_MS + wait_ms


def test_the_time_for_retries_runs_from_the_first_attempt() -> None:
    """A batch that ended while nobody could send is told later, with all its time; then it is given up."""
    late_ms = START_MS + 10 * WINDOW_MS
    failed = Answer(status=500, error=None)
    assert judged(failed, DELIVERY_MADE, late_ms, late_ms, 0.5).event is DeliveryEvent.RETRY
    tried = replace(DELIVERY_MADE, since_ms=START_MS, attempts=9)
    assert judged(failed, tried, START_MS + WINDOW_MS, START_MS + WINDOW_MS, 0.5).event is DeliveryEvent.GIVE_UP
