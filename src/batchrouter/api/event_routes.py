"""Handler of `/batches/{batch_id}/events`."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from batchrouter.api.asking import after_of, limit_of
from batchrouter.api.context import Context
from batchrouter.api.event_objects import EventList, event_object
from batchrouter.api.replies import json_reply
from batchrouter.api.sse import event_stream, wants_events
from batchrouter.api.streams import event_frames
from batchrouter.api.waiting import unless_gone, wait_of
from batchrouter.service import asked
from batchrouter.service.caller import Caller
from batchrouter.service.following import EVENTS_MAX


async def list_events(context: Context, request: Request, caller: Caller) -> Response:
    batch_id: str = request.path_params["batch_id"]
    told = request.headers.get("last-event-id") or after_of(request) or "0"
    after = asked.within(asked.digits(told, "after"), 0, 2**31, "after")
    following = context.service.following
    if wants_events(request):
        seen = await following.pulse(caller, batch_id)
        return event_stream(event_frames(context, caller, batch_id, after, seen))
    limit = limit_of(request, EVENTS_MAX, EVENTS_MAX)
    page = await unless_gone(request, following.events(caller, batch_id, after, limit, wait_of(request)))
    return json_reply(EventList("list", [event_object(event) for event in page.events], page.more))
