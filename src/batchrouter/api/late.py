"""An application whose database is not there yet: it listens, says so, and becomes the real one when it is."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from batchrouter.api.context import Door
from batchrouter.api.front import Front
from batchrouter.api.health import Probes, probe_routes
from batchrouter.api.replies import error_reply, store_away


class Late:
    """Until `app` is set every request is refused with 503 and `Retry-After`, probes apart."""

    def __init__(self, door: Door, probes: Probes) -> None:
        waiting = Starlette(routes=probe_routes(door, probes), exception_handlers={HTTPException: _away})
        self.app: ASGIApp = Front(waiting, door)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


async def _away(request: Request, error: Exception) -> Response:
    return error_reply(store_away())
