"""The HTTP application: routes around the service, and what every request and every reply has in common."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from batchrouter.api import docs_page, openapi, other_routes
from batchrouter.api.auth import authenticate, require_admin
from batchrouter.api.context import Context, Models
from batchrouter.api.endpoints import ENDPOINTS, Endpoint, Home
from batchrouter.api.replies import error_reply, json_reply, server_fault, stopping
from batchrouter.api.settings import ApiSettings
from batchrouter.errors import ApiError, BlobFull, StoreFull
from batchrouter.service.files import disk_full
from batchrouter.service.service import Service

log = logging.getLogger("batchrouter.api")

PLACES_MAX = 8
"""Innermost calls that the log tells of a fault; the outer ones are the framework's."""
HEALTH_PATH = "/healthz"
DOCS_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"


def create_app(service: Service, models: Models, settings: ApiSettings) -> Starlette:
    """`models` is asked at each request, so that it may change. `ApiServer` serves what this makes."""
    context = Context.of(service, models, settings)
    routes: list[BaseRoute] = [
        Route(prefix + endpoint.path, _guarded(context, endpoint), methods=[endpoint.method])
        for endpoint in ENDPOINTS
        for prefix in endpoint.home.value
    ]
    app = Starlette(
        routes=[*routes, *_open_routes(context)],
        middleware=[Middleware(Front, context=context)],
        exception_handlers={HTTPException: _no_route, ApiError: _api_error, StoreFull: _no_room, BlobFull: _no_room},
    )
    # Not redirected: clients would repeat a POST without its body, or not at all.
    app.router.redirect_slashes = False
    app.state.context = context
    return app


class Front:
    """Outermost: refuses work while the server stops, gives every reply its id and date, and hides no fault."""

    def __init__(self, app: ASGIApp, context: Context) -> None:
        self._app = app
        self._context = context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        context = self._context
        signature = context.signature()
        request_id = signature["x-request-id"]
        started = False

        async def send_signed(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                MutableHeaders(scope=message).update(signature)
            await send(message)

        if context.gate.closing and scope["path"] != HEALTH_PATH:
            await error_reply(stopping(context.settings.retry_after_s))(scope, receive, send_signed)
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


def _kind_and_places(error: BaseException) -> str:
    """Of a fault that nobody foresaw, all but its message, which may hold what was asked or a key."""
    frames = traceback.extract_tb(error.__traceback__)[-PLACES_MAX:]
    places = " > ".join(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames)
    return f"{type(error).__name__} at {places or 'an unknown place'}"


def _guarded(context: Context, endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
    admin = endpoint.home is Home.ADMIN

    async def handle(request: Request) -> Response:
        caller = await authenticate(context, request)
        if admin:
            require_admin(caller)
        return await endpoint.handler(context, request, caller)

    return handle


def _open_routes(context: Context) -> list[BaseRoute]:
    """What answers without a key: nothing of anybody's is in it."""
    document = openapi.document(context.settings.version)
    html = docs_page.page(document)

    async def health(request: Request) -> Response:
        return await other_routes.health(context, request)

    async def description(request: Request) -> Response:
        return json_reply(document)

    async def docs(request: Request) -> Response:
        return HTMLResponse(html, headers={"Content-Security-Policy": DOCS_POLICY})

    return [Route(HEALTH_PATH, health), Route("/openapi.json", description), Route("/docs", docs)]


async def _api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return error_reply(error)


async def _no_room(request: Request, error: Exception) -> Response:
    """No fault of the server's code, and no traceback in its log for each who asks meanwhile."""
    log.error("%s %s: %s", request.method, request.url.path, error)
    return error_reply(disk_full())


async def _no_route(request: Request, error: Exception) -> Response:
    """Unknown paths and methods, in the shape that clients can read."""
    assert isinstance(error, HTTPException)
    method, path = request.method, request.url.path
    if error.status_code == 405:
        allowed = _allowed(request)
        return error_reply(
            ApiError(
                405,
                f"{method} is not allowed on {path}. Use {' or '.join(allowed)}.",
                code="method_not_supported",
                headers={"Allow": ", ".join(allowed)},
            )
        )
    return error_reply(ApiError(error.status_code, f"Invalid URL ({method} {path})"))


def _allowed(request: Request) -> list[str]:
    """The router stops at the first route of a path; the others have methods too."""
    methods: set[str] = set()
    for route in request.app.routes:
        if isinstance(route, Route) and route.path_regex.match(request.url.path):
            methods |= route.methods or set()
    return sorted(methods)
