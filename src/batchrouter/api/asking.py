"""Read requests: JSON bodies, forms and query parameters, each within its bounds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import msgspec
from starlette.requests import Request

from batchrouter.api.multipart import MultipartReader, PartBegin, PartData, boundary_of
from batchrouter.errors import ApiError
from batchrouter.service import asked
from batchrouter.service.batches import Repeat

FIELD_BYTES = 4_096
FORM_OVERHEAD_BYTES = 1024 * 1024
"""What a form may have beside its file: boundaries, headers, fields that we do not know."""


async def json_body(request: Request, limit: int, *, optional: bool = False) -> tuple[asked.Body, bytes]:
    """The body as an object, and its bytes. `optional`: no bytes at all are an empty object."""
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > limit:
            raise asked.too_large("The body", limit, None)
    data = bytes(raw)
    if optional and not data:
        return {}, data
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise ApiError(400, f"We could not parse the JSON body of your request: {why}.") from None
    if not isinstance(value, dict):
        raise asked.wrong_type("body", "an object", value)
    return value, data


async def read_form(
    request: Request,
    limit: int,
    file_field: str,
    begin: Callable[[str | None], Awaitable[None]],
    write: Callable[[bytes], Awaitable[None]],
    fields: Mapping[str, Callable[[str], None]],
) -> None:
    """Pass the bytes of the part `file_field` on as they come, and each known field as text; others are ignored.

    A part without a name that has a filename is taken for the file: some hand-made bodies come so. `limit` bounds the
    file; the body as a whole may be a little longer.
    """
    reader = MultipartReader(boundary_of(request.headers.get("content-type")))
    bound = limit + FORM_OVERHEAD_BYTES
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > bound:
        raise asked.too_large("The body", limit, file_field)
    received = 0
    in_file = False
    field: str | None = None
    value = bytearray()
    async for chunk in request.stream():
        received += len(chunk)
        if received > bound:
            raise asked.too_large("The body", limit, file_field)
        for event in reader.feed(chunk):
            if isinstance(event, PartData):
                if in_file:
                    await write(event.data)
                elif field is not None:
                    value += event.data
                    if len(value) > FIELD_BYTES:
                        raise ApiError(400, f"The form field '{field}' is too long.", param=field)
            elif isinstance(event, PartBegin):
                in_file = event.name == file_field or (event.name is None and event.filename is not None)
                if in_file:
                    await begin(event.filename)
                field = event.name if not in_file and event.name in fields else None
            else:
                if field is not None:
                    fields[field](_text(field, value))
                in_file, field, value = False, None, bytearray()
    reader.close()


def repeat_of(request: Request) -> Repeat:
    return Repeat(key=request.headers.get("idempotency-key"), resent=resent(request))


def resent(request: Request) -> bool:
    """OpenAI's clients count their tries in this header."""
    count = request.headers.get("x-stainless-retry-count", "")
    return count.isascii() and count.isdecimal() and int(count[:9]) >= 1


def limit_of(request: Request, most: int, default: int) -> int:
    value = request.query_params.get("limit")
    return default if value is None else asked.within(asked.digits(value, "limit"), 1, most, "limit")


def after_of(request: Request) -> str | None:
    """Absent and empty are the same: some clients send `after=` for the first page."""
    return request.query_params.get("after") or None


def descending(request: Request) -> bool:
    return asked.one_of(request.query_params.get("order", "desc"), ("asc", "desc"), "order") == "desc"


def _text(field: str, value: bytearray) -> str:
    try:
        return value.decode().strip()
    except UnicodeDecodeError:
        raise ApiError(400, f"The form field '{field}' is not UTF-8.", param=field, code="invalid_value") from None
