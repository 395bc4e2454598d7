"""Handlers of `/uploads`."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from batchrouter.api.asking import json_body, read_form, resent
from batchrouter.api.context import Context
from batchrouter.api.file_routes import base_url
from batchrouter.api.objects import file_object, part_object, upload_object
from batchrouter.api.replies import json_reply
from batchrouter.service.caller import Caller


async def create_upload(context: Context, request: Request, caller: Caller) -> Response:
    body, _ = await json_body(request, context.settings.max_json_bytes)
    return json_reply(upload_object(await context.service.uploads.create(caller, body), None))


async def add_part(context: Context, request: Request, caller: Caller) -> Response:
    incoming = await context.service.uploads.incoming(caller, request.path_params["upload_id"])

    async def begin(filename: str | None) -> None:
        await incoming.begin()

    try:
        await read_form(request, context.service.limits.upload_part_bytes, "data", begin, incoming.write, {})
        part = await incoming.done()
    except BaseException:
        await incoming.abort()
        raise
    return json_reply(part_object(part))


async def complete_upload(context: Context, request: Request, caller: Caller) -> Response:
    body, _ = await json_body(request, context.settings.max_json_bytes)
    upload, file = await context.service.uploads.complete(
        caller, request.path_params["upload_id"], body, resent=resent(request)
    )
    return json_reply(upload_object(upload, None if file is None else file_object(file, base_url(request))))


async def cancel_upload(context: Context, request: Request, caller: Caller) -> Response:
    upload = await context.service.uploads.cancel(caller, request.path_params["upload_id"])
    return json_reply(upload_object(upload, None))
