"""Handlers of `/batches/{batch_id}/results`."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from batchrouter.api.asking import after_of, limit_of
from batchrouter.api.context import Context
from batchrouter.api.replies import encode, long_reply
from batchrouter.api.result_objects import line_list, line_object
from batchrouter.api.sse import event_stream, wants_events
from batchrouter.api.streams import line_frames
from batchrouter.api.waiting import unless_gone, wait_of
from batchrouter.errors import ApiError
from batchrouter.service import asked
from batchrouter.service.caller import Caller
from batchrouter.service.line_filter import asked_filter
from batchrouter.service.line_scan import ORDERS, Cursor, Order
from batchrouter.service.results import LIMIT_DEFAULT, LIMIT_MAX, ResultPage, Wanted

JSON = "application/json"
JSONL = "application/x-ndjson"
FORMATS = ("json", "jsonl")


async def list_results(context: Context, request: Request, caller: Caller) -> Response:
    batch_id: str = request.path_params["batch_id"]
    wanted = wanted_of(request)
    following = context.service.following
    if wants_events(request) and not request.query_params.get("format"):
        if wanted.after.order != "completion":
            raise ApiError(400, "Events come in completion order: ask without order=input.", param="order")
        seen = await following.pulse(caller, batch_id)
        page = await context.service.results.page(caller, batch_id, wanted)
        return event_stream(line_frames(context, caller, batch_id, wanted, seen, page))
    page = await unless_gone(request, following.lines(caller, batch_id, wanted, wait_of(request)))
    if _format(request) == "jsonl":
        return _bare(page)
    return long_reply(encode(line_list(page, requests=wanted.requests)), JSON)


async def retrieve_result(context: Context, request: Request, caller: Caller) -> Response:
    line = asked.digits(request.path_params["line"], "line")
    if line < 0:
        raise ApiError(404, f"There is no line {line}.", param="line", code="line_not_found")
    found = await context.service.results.line(caller, request.path_params["batch_id"], line)
    return long_reply(encode(line_object(found, requests=True)), JSON)


def wanted_of(request: Request) -> Wanted:
    """What the query asks for. `Last-Event-ID`, which only reconnecting readers of events send, wins over `after`."""
    query = request.query_params
    order: Order = asked.one_of(query.get("order") or ORDERS[0], ORDERS, "order")  # type: ignore[assignment]
    chosen = asked_filter(query)
    if chosen.wants_unfinished and order != "input":
        raise ApiError(
            400, "Lines without an end are told in input order alone: ask with order=input.", param="outcome"
        )
    include = asked.one_of(query.get("include") or "request", ("request",), "include") if "include" in query else None
    after = request.headers.get("last-event-id") or after_of(request)
    return Wanted(
        after=Cursor.start(order) if after is None else Cursor.read(after, order),
        limit=limit_of(request, LIMIT_MAX, LIMIT_DEFAULT),
        filter=chosen,
        requests=include is not None,
    )


def _format(request: Request) -> str:
    told = request.query_params.get("format")
    if told:
        return asked.one_of(told, FORMATS, "format")
    return "jsonl" if JSONL in request.headers.get("accept", "") else "json"


def _bare(page: ResultPage) -> Response:
    headers = {
        "x-batchrouter-next": str(page.next),
        "x-batchrouter-has-more": "true" if page.more else "false",
        "x-batchrouter-status": page.batch.state.value,
    }
    body = b"".join(line.result for line in page.lines if line.result is not None)
    return long_reply(body, f"{JSONL}; charset=utf-8", headers)
