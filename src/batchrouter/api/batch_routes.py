"""Handlers of `/batches`."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from batchrouter.api.asking import after_of, json_body, limit_of, repeat_of
from batchrouter.api.auth import ALL_TENANTS
from batchrouter.api.batch_filters import filter_of
from batchrouter.api.batch_objects import BatchList, batch_object
from batchrouter.api.context import Context
from batchrouter.api.replies import json_reply
from batchrouter.api.summary_objects import summary_object
from batchrouter.api.waiting import unless_gone, wait_of
from batchrouter.domain.tenant import Role
from batchrouter.service import asked
from batchrouter.service.batches import LIST_DEFAULT, LIST_MAX
from batchrouter.service.caller import Caller


async def create_batch(context: Context, request: Request, caller: Caller) -> Response:
    body, raw = await json_body(request, context.settings.max_json_bytes)
    return json_reply(batch_object(await context.service.batches.create(caller, body, raw, repeat_of(request))))


async def list_batches(context: Context, request: Request, caller: Caller) -> Response:
    page = await context.service.batches.page(
        caller,
        after=after_of(request),
        limit=limit_of(request, LIST_MAX, LIST_DEFAULT),
        wanted=filter_of(request),
        all_tenants=caller.role is Role.ADMIN and request.query_params.get("tenant") == ALL_TENANTS,
    )
    rows = page.rows
    return json_reply(
        BatchList(
            object="list",
            data=[batch_object(view) for view in rows],
            first_id=rows[0].batch.id if rows else None,
            last_id=rows[-1].batch.id if rows else None,
            has_more=page.more,
        )
    )


async def retrieve_batch(context: Context, request: Request, caller: Caller) -> Response:
    """With `wait`, as soon as there is news (RFC 7240 calls the header `Prefer: wait`)."""
    batch_id: str = request.path_params["batch_id"]
    final = asked.one_of(request.query_params.get("wait_for") or "change", ("change", "final"), "wait_for") == "final"
    wait_s = wait_of(request)
    if not wait_s:
        return json_reply(batch_object(await context.service.batches.get(caller, batch_id)))
    work = context.service.following.batch(caller, batch_id, wait_s, final=final)
    return json_reply(batch_object(await unless_gone(request, work)))


async def retry_batch(context: Context, request: Request, caller: Caller) -> Response:
    body, raw = await json_body(request, context.settings.max_json_bytes, optional=True)
    batch_id, repeat = request.path_params["batch_id"], repeat_of(request)
    return json_reply(batch_object(await context.service.retrying.retry(caller, batch_id, body, raw, repeat)))


async def pause_batch(context: Context, request: Request, caller: Caller) -> Response:
    return json_reply(batch_object(await context.service.steering.pause(caller, request.path_params["batch_id"])))


async def resume_batch(context: Context, request: Request, caller: Caller) -> Response:
    return json_reply(batch_object(await context.service.steering.resume(caller, request.path_params["batch_id"])))


async def summarize_batch(context: Context, request: Request, caller: Caller) -> Response:
    return json_reply(summary_object(await context.service.summaries.summary(caller, request.path_params["batch_id"])))


async def cancel_batch(context: Context, request: Request, caller: Caller) -> Response:
    return json_reply(batch_object(await context.service.batches.cancel(caller, request.path_params["batch_id"])))
