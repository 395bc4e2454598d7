"""Outermost of every application: what every request and every reply has in common."""

from __future__ import annotations

import logging
import traceback

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from batchrouter.api.context import Door
from batchrouter.api.replies import error_reply, server_fault, stopping
from batchrouter.ports.meters import OTHER

log = logging.getLogger("batchrouter.api")

PLACES_MAX = 8
"""Innermost calls that the log tells of a fault; the outer ones are the framework's."""
OPEN_PATHS = frozenset(("/healthz", "/readyz", "/metrics"))
"""Answered while the server stops: whoever watches it wants to know."""
METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
"""Told one by one; people may send any word as a method."""


class Front:
    """Outermost: refuses work while the server stops, gives every reply its id and date, and hides no fault."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self._app = app
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        door = self._door
        signature = door.signature()
        request_id = signature["x-request-id"]
        started = False
        began_s = door.clock.mono_s()

        async def send_signed(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                took_s = door.clock.mono_s() - began_s
                door.meters.answered(_method(scope), _template(scope), message["status"], took_s)
                MutableHeaders(scope=message).update(signature)
            await send(message)

        if door.gate.closing and scope["path"] not in OPEN_PATHS:
            await error_reply(stopping(door.settings.retry_after_s))(scope, receive, send_signed)
            return
        try:
            await self._app(scope, receive, send_signed)
        except ClientDisconnect:
            log.info("%s %s (%s): the client went away", scope["method"], scope["path"], request_id)
        except Exception as error:
            log.error("%s %s failed (%s): %s", scope["method"], scope["path"], request_id, _kind_and_places(error))
            if started:
                return  # the server breaks the connection off, since nothing else can tell now
            await error_reply(server_fault())(scope, receive, send_signed)


def _template(scope: Scope) -> str:
    """The route that took it, never its path, which has ids in it."""
    path = getattr(scope.get("route"), "path", None)
    return path if isinstance(path, str) else OTHER


def _method(scope: Scope) -> str:
    return scope["method"] if scope["method"] in METHODS else OTHER


def _kind_and_places(error: BaseException) -> str:
    """Of a fault that nobody foresaw, all but its message, which may hold what was asked or a key."""
    frames = traceback.extract_tb(error.__traceback__)[-PLACES_MAX:]
    places = " > ".join(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames)
    return f"{type(error).__name__} at {places or 'an unknown place'}"
