"""Webhook endpoints and deliveries, as they are sent and asked for; see `objects`."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from batchrouter.api.objects import seconds
from batchrouter.domain.webhook import DESCRIPTION_CHARS, Delivery, DeliveryState, Endpoint, event_name

EventName = Literal["batch.completed", "batch.failed", "batch.expired", "batch.cancelled", "batch.in_progress"]
Description = Annotated[str, Meta(max_length=DESCRIPTION_CHARS)]


class CreateWebhook(Struct):
    """`events`: OpenAI's four where nothing is said. `secret`: one is made where none is brought."""

    url: str
    events: list[EventName] | UnsetType = UNSET
    description: Description = ""
    enabled: bool = True
    secret: str | None = None


class ChangeWebhook(Struct):
    """What is left out stays as it is."""

    url: str | UnsetType = UNSET
    events: list[EventName] | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET


class RotateWebhook(Struct):
    """`secret`: one is made where none is brought."""

    secret: str | None = None


class WebhookObject(Struct):
    """`secret` is in the replies of create and rotate, and nowhere else. `secret_expires_at`: until then the former
    one signs too. `configured`: it stands in the server's configuration."""

    id: str
    object: Literal["webhook_endpoint"]
    url: str
    events: list[str]
    description: str
    enabled: bool
    disabled_reason: str | None
    created_at: int
    secret_expires_at: int | None
    configured: bool
    secret: str | UnsetType = UNSET


class WebhookList(Struct):
    object: Literal["list"]
    data: list[WebhookObject]
    has_more: Literal[False]


class WebhookDeleted(Struct):
    id: str
    object: Literal["webhook_endpoint"]
    deleted: Literal[True]


class AttemptObject(Struct):
    """`status` is null where no reply came; `error` where it was delivered."""

    at: int
    status: int | None
    error: str | None
    latency_ms: int


class DeliveryObject(Struct):
    """`id` is the header `webhook-id` of each attempt, `event_id` the `id` of its body. `attempts` has the last 20;
    `next_attempt_at` is null while it is being sent, and when it is over."""

    id: str
    object: Literal["webhook_delivery"]
    endpoint_id: str
    type: str
    event_id: str
    batch_id: str | None
    state: Literal["waiting", "delivered", "failed", "ended"]
    created_at: int
    next_attempt_at: int | None
    ended_at: int | None
    attempts: list[AttemptObject]


class DeliveryList(Struct):
    object: Literal["list"]
    data: list[DeliveryObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


def webhook_object(endpoint: Endpoint, now_ms: int, *, secret: bool = False) -> WebhookObject:
    """`secret`: told."""
    former = len(endpoint.secrets(now_ms)) > 1
    return WebhookObject(
        id=endpoint.id,
        object="webhook_endpoint",
        url=endpoint.url,
        events=list(endpoint.events),
        description=endpoint.description,
        enabled=endpoint.enabled,
        disabled_reason=endpoint.disabled_reason,
        created_at=endpoint.created_ms // 1000,
        secret_expires_at=seconds(endpoint.former_until_ms) if former else None,
        configured=endpoint.configured,
        secret=endpoint.secret if secret else UNSET,
    )


def delivery_object(delivery: Delivery) -> DeliveryObject:
    waits = delivery.state is DeliveryState.WAITING and delivery.owner is None
    return DeliveryObject(
        id=delivery.id,
        object="webhook_delivery",
        endpoint_id=delivery.endpoint_id,
        type=delivery.type,
        event_id=event_name(delivery),
        batch_id=delivery.batch_id,
        state=delivery.state.value,
        created_at=delivery.created_ms // 1000,
        next_attempt_at=delivery.next_ms // 1000 if waits else None,
        ended_at=seconds(delivery.ended_ms),
        attempts=[
            AttemptObject(at=each.at_ms // 1000, status=each.status, error=each.error, latency_ms=each.took_ms)
            for each in delivery.log
        ],
    )
