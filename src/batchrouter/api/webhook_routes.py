"""Handlers of webhook endpoints and their deliveries."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from batchrouter.api.asking import after_of, json_body, limit_of
from batchrouter.api.context import Context
from batchrouter.api.replies import json_reply
from batchrouter.api.webhook_objects import (
    DeliveryList,
    WebhookDeleted,
    WebhookList,
    WebhookObject,
    delivery_object,
    webhook_object,
)
from batchrouter.domain.webhook import DESCRIPTION_CHARS, EVENTS, USUAL_EVENTS, Endpoint
from batchrouter.errors import ApiError
from batchrouter.service import asked
from batchrouter.service.caller import Caller

PAGE_MOST, PAGE_USUAL = 100, 20


async def create_webhook(context: Context, request: Request, caller: Caller) -> Response:
    body, _ = await json_body(request, context.settings.max_json_bytes)
    endpoint = await context.service.webhooks.create(
        caller,
        asked.text(body, "url"),
        _events(body) if body.get("events") is not None else USUAL_EVENTS,
        _description(body) if body.get("description") is not None else "",
        enabled=_flag(body, "enabled") if body.get("enabled") is not None else True,
        secret=asked.text_or_none(body, "secret"),
    )
    return json_reply(_told(context, endpoint, secret=True))


async def list_webhooks(context: Context, request: Request, caller: Caller) -> Response:
    found = await context.service.webhooks.all(caller)
    return json_reply(WebhookList("list", [_told(context, each) for each in found], has_more=False))


async def retrieve_webhook(context: Context, request: Request, caller: Caller) -> Response:
    return json_reply(_told(context, await context.service.webhooks.get(caller, request.path_params["webhook_id"])))


async def change_webhook(context: Context, request: Request, caller: Caller) -> Response:
    body, _ = await json_body(request, context.settings.max_json_bytes)
    readers: dict[str, Any] = {
        "url": lambda: asked.text(body, "url"),
        "events": lambda: _events(body),
        "description": lambda: _description(body),
        "enabled": lambda: _flag(body, "enabled"),
    }
    changes = {name: read() for name, read in readers.items() if body.get(name) is not None}
    return json_reply(
        _told(context, await context.service.webhooks.change(caller, request.path_params["webhook_id"], changes))
    )


async def delete_webhook(context: Context, request: Request, caller: Caller) -> Response:
    id_: str = request.path_params["webhook_id"]
    await context.service.webhooks.delete(caller, id_)
    return json_reply(WebhookDeleted(id_, "webhook_endpoint", deleted=True))


async def rotate_webhook(context: Context, request: Request, caller: Caller) -> Response:
    secret = None
    if request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers:
        body, _ = await json_body(request, context.settings.max_json_bytes)
        secret = asked.text_or_none(body, "secret")
    endpoint = await context.service.webhooks.rotate(caller, request.path_params["webhook_id"], secret)
    return json_reply(_told(context, endpoint, secret=True))


async def test_webhook(context: Context, request: Request, caller: Caller) -> Response:
    return json_reply(delivery_object(await context.service.webhooks.test(caller, request.path_params["webhook_id"])))


async def list_deliveries(context: Context, request: Request, caller: Caller) -> Response:
    page = await context.service.webhooks.deliveries(
        caller,
        request.path_params["webhook_id"],
        after=after_of(request),
        limit=limit_of(request, PAGE_MOST, PAGE_USUAL),
    )
    told = [delivery_object(each) for each in page.rows]
    first, last = (told[0].id, told[-1].id) if told else (None, None)
    return json_reply(DeliveryList("list", told, first, last, page.more))


async def redeliver(context: Context, request: Request, caller: Caller) -> Response:
    params = request.path_params
    delivery = await context.service.webhooks.redeliver(caller, params["webhook_id"], params["delivery_id"])
    return json_reply(delivery_object(delivery))


def _told(context: Context, endpoint: Endpoint, *, secret: bool = False) -> WebhookObject:
    return webhook_object(endpoint, context.service.clock.unix_ms(), secret=secret)


def _events(body: asked.Body) -> tuple[str, ...]:
    value = body["events"]
    if not isinstance(value, list):
        raise asked.wrong_type("events", "an array", value)
    if not value:
        raise ApiError(
            400, "Invalid 'events': name at least one event, or leave it out.", param="events", code="invalid_value"
        )
    for place, event in enumerate(value):
        if not isinstance(event, str):
            raise asked.wrong_type(f"events[{place}]", "a string", event)
        asked.one_of(event, EVENTS, f"events[{place}]")
    return tuple(event for event in EVENTS if event in value)


def _description(body: asked.Body) -> str:
    value = asked.text(body, "description")
    if len(value) > DESCRIPTION_CHARS:
        raise ApiError(
            400,
            f"Invalid 'description': string too long. Expected a string with maximum length {DESCRIPTION_CHARS}, but "
            f"got a string with length {len(value)} instead.",
            param="description",
            code="string_above_max_length",
        )
    return value


def _flag(body: asked.Body, name: str) -> bool:
    value = body[name]
    if not isinstance(value, bool):
        raise asked.wrong_type(name, "a boolean", value)
    return value
