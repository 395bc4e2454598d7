"""Who is told what, when and how: endpoints, deliveries, their schedule and their signatures. Decided without I/O.

A delivery is one event on its way to one endpoint. It is told at least once: an attempt whose reply was lost is made
again, under the same id, so that a receiver can drop what it had already. Signatures are those of Standard Webhooks
1.0, which OpenAI's clients verify; the payload is as thin as OpenAI's.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from batchrouter.domain.batch import Event, event_id
from batchrouter.errors import IllegalTransition

EVENTS = ("batch.completed", "batch.failed", "batch.expired", "batch.cancelled", "batch.in_progress")
"""All that can be asked for."""
USUAL_EVENTS = EVENTS[:4]
"""What is sent where nothing was asked for: OpenAI's four."""
TEST_EVENT = "webhook.test"
TEST_BATCH = "batch_test"

PER_TENANT = 20
URL_CHARS = 2_000
DESCRIPTION_CHARS = 200
SECRET_PREFIX = "whsec_"
SECRET_BYTES = 32
SECRET_LEAST, SECRET_MOST = 24, 64
"""Bytes of a secret that people bring, as the specification has it."""
FORMER_MS = 24 * 3_600_000
"""How long the former secret signs beside a new one."""
KEEP_MS = 30 * 24 * 3_600_000
"""How long a delivery stays in the log."""

WINDOW_MS = 72 * 3_600_000
"""From the first attempt: nothing is tried later."""
WAITS_S = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""After each attempt that failed; the last one from then on."""
JITTER = 0.1
TOLD_LEAST_MS = 1_000
TOLD_ATTEMPTS = 20
"""So many times a receiver's Retry-After may shorten the wait; then it can only lengthen it."""
LOG_MOST = 20
"""Attempts that the log keeps of one delivery."""
ERROR_CHARS = 300


class DeliveryState(StrEnum):
    WAITING = "waiting"
    DELIVERED = "delivered"
    FAILED = "failed"
    ENDED = "ended"
    """Its endpoint was disabled or removed before it was told."""


class DeliveryEvent(StrEnum):
    RETRY = "retry"
    DELIVER = "deliver"
    GIVE_UP = "give_up"
    END = "end"
    REDELIVER = "redeliver"


DELIVERY: dict[DeliveryState, dict[DeliveryEvent, DeliveryState]] = {
    DeliveryState.WAITING: {
        DeliveryEvent.RETRY: DeliveryState.WAITING,
        DeliveryEvent.DELIVER: DeliveryState.DELIVERED,
        DeliveryEvent.GIVE_UP: DeliveryState.FAILED,
        DeliveryEvent.END: DeliveryState.ENDED,
        DeliveryEvent.REDELIVER: DeliveryState.WAITING,
    },
    DeliveryState.DELIVERED: {DeliveryEvent.REDELIVER: DeliveryState.WAITING},
    DeliveryState.FAILED: {DeliveryEvent.REDELIVER: DeliveryState.WAITING},
    DeliveryState.ENDED: {DeliveryEvent.REDELIVER: DeliveryState.WAITING},
}


def delivery_step(state: DeliveryState, event: DeliveryEvent) -> DeliveryState:
    """The state after `event`. Raises `IllegalTransition` where the table has none."""
    try:
        return DELIVERY[state][event]
    except KeyError:
        raise IllegalTransition("delivery", state, event) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """`secret` and `former_secret` are told to nobody; the former one signs too until `former_until_ms`. `configured`:
    it stands in the configuration, and only there it can be changed. `disabled_reason`: None where a person did it."""

    id: str
    tenant_id: str
    url: str
    events: tuple[str, ...]
    description: str
    secret: str
    created_ms: int
    enabled: bool = True
    disabled_reason: str | None = None
    former_secret: str | None = None
    former_until_ms: int | None = None
    configured: bool = False

    def secrets(self, now_ms: int) -> tuple[str, ...]:
        """Those that sign now, the newest first."""
        if self.former_secret is None or self.former_until_ms is None or self.former_until_ms <= now_ms:
            return (self.secret,)
        return (self.secret, self.former_secret)


def endpoint_id(name: str) -> str:
    """`name`: unguessable characters."""
    return f"we_{name}"


def reconfigured(old: Endpoint, wanted: Endpoint, now_ms: int) -> Endpoint:
    """A configured endpoint as the configuration has it now. Where anything has changed it is enabled again, for what
    was wrong may be mended; a secret that is replaced signs on for a while."""
    told = replace(old, events=wanted.events, description=wanted.description, secret=wanted.secret)
    if told == old:
        return old
    told = replace(told, enabled=True, disabled_reason=None)
    if told.secret != old.secret:
        told = replace(told, former_secret=old.secret, former_until_ms=now_ms + FORMER_MS)
    return told


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """`status` None: no reply came. `error`: why it failed, in our words; None: it did not. `took_ms`: to the end of
    the reply's head, or to the failure."""

    at_ms: int
    status: int | None
    error: str | None
    took_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """`id` is also the message's, the same at every attempt. `since_ms`: its first attempt since it was made or sent
    again by hand. `next_ms`: when it is due; of one that is being sent (`owner`), when another sender may take it.
    `log`: the last attempts, oldest first."""

    id: str
    endpoint_id: str
    batch_id: str | None
    event_no: int | None
    event_ms: int
    type: str
    state: DeliveryState
    attempts: int
    since_ms: int | None
    next_ms: int
    owner: str | None
    log: tuple[Attempt, ...]
    created_ms: int
    ended_ms: int | None


def first_delivery(endpoint: Endpoint, event: Event) -> Delivery:
    """An event that the endpoint wants to hear of, due at once."""
    return Delivery(
        id=f"wh_{endpoint.id.removeprefix('we_')}_{event.id.removeprefix('evt_')}",
        endpoint_id=endpoint.id,
        batch_id=event.batch_id,
        event_no=event.no,
        event_ms=event.at_ms,
        type=event.type,
        state=DeliveryState.WAITING,
        attempts=0,
        since_ms=None,
        next_ms=event.at_ms,
        owner=None,
        log=(),
        created_ms=event.at_ms,
        ended_ms=None,
    )


def trial_delivery(endpoint: Endpoint, name: str, now_ms: int) -> Delivery:
    """Of an event that happened to nobody. `name` makes its id one that no other has."""
    return Delivery(
        id=f"wh_{name}",
        endpoint_id=endpoint.id,
        batch_id=None,
        event_no=None,
        event_ms=now_ms,
        type=TEST_EVENT,
        state=DeliveryState.WAITING,
        attempts=0,
        since_ms=None,
        next_ms=now_ms,
        owner=None,
        log=(),
        created_ms=now_ms,
        ended_ms=None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of one attempt. `retry_after_s`: when the receiver wants to be asked again, if it said so."""

    status: int | None
    error: str | None
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What follows from an attempt: the delivery's next step, when it is due again (RETRY only), and whether its
    endpoint is to be disabled, with the reason."""

    event: DeliveryEvent
    attempt: Attempt
    next_ms: int | None = None
    disable: str | None = None


def judged(answer: Answer, delivery: Delivery, began_ms: int, now_ms: int, fraction: float) -> Verdict:
    """`delivery` is as it was before the attempt, which began at `began_ms`; `fraction` is a number of [0, 1)."""
    error = answer.error or why_failed(answer.status)
    attempt = Attempt(
        at_ms=began_ms,
        status=answer.status,
        error=None if error is None else error[:ERROR_CHARS],
        took_ms=max(0, now_ms - began_ms),
    )
    if error is None:
        return Verdict(event=DeliveryEvent.DELIVER, attempt=attempt)
    if answer.status == 410:
        reason = "the receiver answered 410 Gone: it wants no more events"
        return Verdict(event=DeliveryEvent.GIVE_UP, attempt=attempt, disable=reason)
    since_ms = began_ms if delivery.since_ms is None else delivery.since_ms
    told_s = answer.retry_after_s if answer.status in (429, 503) else None
    next_ms = next_attempt_ms(delivery.attempts + 1, since_ms, now_ms, fraction, told_s)
    if next_ms is None:
        return Verdict(event=DeliveryEvent.GIVE_UP, attempt=attempt)
    return Verdict(event=DeliveryEvent.RETRY, attempt=attempt, next_ms=next_ms)


def why_failed(status: int | None) -> str | None:
    """None: it succeeded, as any status of 200 to 299 does."""
    if status is None:
        return "no reply came"
    if 200 <= status < 300:
        return None
    if 300 <= status < 400:
        return f"the receiver answered {status}: redirects are not followed"
    return f"the receiver answered {status}"


def next_attempt_ms(
    attempts: int, since_ms: int, now_ms: int, fraction: float, told_s: float | None = None
) -> int | None:
    """When to try again after the `attempts`-th attempt failed; None: never. `told_s`: what the receiver said. The last
    attempt is made when the window closes."""
    until_ms = since_ms + WINDOW_MS
    if now_ms >= until_ms:
        return None
    wait_s = WAITS_S[min(attempts, len(WAITS_S)) - 1] * (1 - JITTER + 2 * JITTER * fraction)
    wait_ms = round(wait_s * 1000)
    if told_s is not None:
        told_ms = round(min(max(told_s, 0.0), WINDOW_MS / 1000) * 1000)
        wait_ms = max(told_ms, TOLD_LEAST_MS if attempts <= TOLD_ATTEMPTS else wait_ms)
    return min(now_ms + wait_ms, until_ms)


# --- what is sent ---------------------------------------------------------------------------------------------------


def event_name(delivery: Delivery) -> str:
    """The event's id, as the batch's own list of events has it."""
    if delivery.batch_id is None or delivery.event_no is None:
        return f"evt_{delivery.id.removeprefix('wh_')}"
    return event_id(delivery.batch_id, delivery.event_no)


def payload_of(delivery: Delivery) -> bytes:
    """The same bytes at every attempt."""
    told = {
        "id": event_name(delivery),
        "object": "event",
        "created_at": delivery.event_ms // 1000,
        "type": delivery.type,
        "data": {"id": delivery.batch_id or TEST_BATCH},
    }
    return json.dumps(told, separators=(",", ":")).encode()


def signed_headers(message_id: str, at_s: int, body: bytes, secrets: Sequence[str]) -> dict[str, str]:
    """The three headers of one attempt; a signature for each secret."""
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": " ".join(signature(message_id, at_s, body, secret) for secret in secrets),
    }


def signature(message_id: str, at_s: int, body: bytes, secret: str) -> str:
    """Raises ValueError for a secret that is none."""
    signed = b"%s.%d.%s" % (message_id.encode(), at_s, body)
    digest = hmac.new(key_of(secret), signed, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def secret_of(key: bytes) -> str:
    return SECRET_PREFIX + base64.b64encode(key).decode()


def key_of(secret: str) -> bytes:
    """The key's bytes. Raises ValueError, whose words do not tell the secret."""
    prefix, _, rest = secret.partition("_")
    try:
        key = base64.b64decode(rest, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if prefix != "whsec" or not SECRET_LEAST <= len(key) <= SECRET_MOST:
        raise ValueError(
            f"a secret is {SECRET_PREFIX} and {SECRET_LEAST} to {SECRET_MOST} random bytes in base64; "
            "`echo whsec_$(openssl rand -base64 32)` makes one"
        )
    return key
