"""Handlers of `/files`."""

from __future__ import annotations

from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from batchrouter.api.asking import after_of, descending, limit_of, read_form
from batchrouter.api.check_objects import check_object
from batchrouter.api.context import Context
from batchrouter.api.objects import FileDeleted, FileList, file_object
from batchrouter.api.quote_objects import estimate_object
from batchrouter.api.ranges import Unsatisfiable, wanted_span
from batchrouter.api.replies import json_reply
from batchrouter.domain.file import File
from batchrouter.errors import ApiError
from batchrouter.service import asked
from batchrouter.service.caller import Caller
from batchrouter.service.files import LIST_MAX

JSONL_PURPOSES = ("batch", "batch_output")


async def create_file(context: Context, request: Request, caller: Caller) -> Response:
    incoming = context.service.files.incoming(caller)

    async def begin(filename: str | None) -> None:
        incoming.begin(filename)

    try:
        await read_form(
            request,
            context.service.limits.max_upload_bytes,
            "file",
            begin,
            incoming.write,
            {
                "purpose": incoming.purpose,
                "expires_after[anchor]": incoming.expiry_anchor,
                "expires_after[seconds]": incoming.expiry_seconds,
            },
        )
        file = await incoming.done()
    except BaseException:
        await incoming.abort()
        raise
    return json_reply(file_object(file, base_url(request)))


async def list_files(context: Context, request: Request, caller: Caller) -> Response:
    page = await context.service.files.page(
        caller,
        after=after_of(request),
        limit=limit_of(request, LIST_MAX, LIST_MAX),
        descending=descending(request),
        purpose=request.query_params.get("purpose") or None,
    )
    base = base_url(request)
    rows = page.rows
    return json_reply(
        FileList(
            object="list",
            data=[file_object(file, base) for file in rows],
            first_id=rows[0].id if rows else None,
            last_id=rows[-1].id if rows else None,
            has_more=page.more,
        )
    )


async def retrieve_file(context: Context, request: Request, caller: Caller) -> Response:
    file = await context.service.files.get(caller, request.path_params["file_id"])
    return json_reply(file_object(file, base_url(request)))


async def delete_file(context: Context, request: Request, caller: Caller) -> Response:
    file_id: str = request.path_params["file_id"]
    await context.service.files.delete(caller, file_id)
    return json_reply(FileDeleted(file_id, "file", True))


async def estimate_file(context: Context, request: Request, caller: Caller) -> Response:
    file = await context.service.files.get(caller, request.path_params["file_id"])
    quote = await context.service.quotes.quote(file)
    if quote is None:
        raise no_batch_input(file)
    return json_reply(estimate_object(file.id, quote))


async def check_file(context: Context, request: Request, caller: Caller) -> Response:
    endpoint = request.query_params.get("endpoint") or None
    if endpoint is not None:
        asked.one_of(endpoint, context.service.limits.endpoints, "endpoint")
    file = await context.service.files.get(caller, request.path_params["file_id"])
    check = await context.service.checks.check(file, endpoint)
    if check is None:
        raise no_batch_input(file)
    return json_reply(check_object(file.id, check))


async def file_content(context: Context, request: Request, caller: Caller) -> Response:
    """The bytes never change, so the id is a strong validator for them."""
    content = await context.service.files.content(caller, request.path_params["file_id"])
    file = content.file
    etag = f'"{file.id}"'
    if_range = request.headers.get("if-range")
    span = None if if_range not in (None, etag) else wanted_span(request.headers.get("range"), file.bytes)
    if isinstance(span, Unsatisfiable):
        raise ApiError(
            416,
            f"The range lies outside the file, which has {file.bytes} bytes.",
            param="range",
            headers={"Content-Range": f"bytes */{file.bytes}"},
        )
    offset, length = (0, file.bytes) if span is None else span
    headers = {
        "Content-Type": media_type(file),
        "Content-Length": str(length),
        "Content-Disposition": disposition(file.filename),
        "Accept-Ranges": "bytes",
        "ETag": etag,
        "X-Content-Type-Options": "nosniff",
    }
    if span is not None:
        headers["Content-Range"] = f"bytes {offset}-{offset + length - 1}/{file.bytes}"
    status = 200 if span is None else 206
    if request.method == "HEAD" or not length:
        return Response(None, status, headers)
    return StreamingResponse(content.stream(offset, length), status, headers)


def media_type(file: File) -> str:
    """With a charset, or Python's requests would guess one for `.text`."""
    return "application/x-ndjson; charset=utf-8" if file.purpose in JSONL_PURPOSES else "application/octet-stream"


def disposition(filename: str) -> str:
    """ASCII for old clients, UTF-8 (RFC 5987) for others; the name holds no control characters by now."""
    plain = "".join(char if " " <= char <= "~" and char not in '"\\%' else "_" for char in filename)
    if plain == filename:
        return f'attachment; filename="{plain}"'
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"


def base_url(request: Request) -> str:
    """Where the API was asked, up to and including `/v1`, so that URLs in replies work for whoever asked."""
    prefix = "api/v1" if request.url.path.startswith("/api/v1/") else "v1"
    return f"{request.base_url}{prefix}"


def no_batch_input(file: File) -> ApiError:
    return ApiError(400, f"The file {file.id} is no batch input: upload it with purpose 'batch'.", param="file_id")
