"""The HTTP application: routes around the service."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from batchrouter.api import docs_page, openapi
from batchrouter.api.auth import acting, authenticate, require_admin
from batchrouter.api.context import Context, Door, Models
from batchrouter.api.dashboard import dashboard_routes
from batchrouter.api.endpoints import ENDPOINTS, Endpoint, Home
from batchrouter.api.front import Front
from batchrouter.api.health import Probes, probe_routes
from batchrouter.api.metrics_route import guarded_metrics
from batchrouter.api.replies import blobs_away, error_reply, json_reply, records_gone, store_away
from batchrouter.errors import ApiError, BlobError, BlobFull, BlobMissing, RecordsGone, StoreAway, StoreFull
from batchrouter.ports.meters import OTHER, Meters, count
from batchrouter.service.files import disk_full
from batchrouter.service.service import Service

log = logging.getLogger("batchrouter.api")

DOCS_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"


def create_app(door: Door, service: Service, models: Models, probes: Probes = Probes()) -> Starlette:  # noqa: B008
    """`models` is asked at each request, so that it may change. `ApiServer` serves what this makes."""
    context = Context.of(door, service, models)
    routes: list[BaseRoute] = [
        Route(prefix + endpoint.path, _guarded(context, endpoint), methods=[endpoint.method])
        for endpoint in ENDPOINTS
        for prefix in endpoint.home.value
    ]
    if probes.metrics is not None and probes.guarded:
        routes.append(guarded_metrics(context, probes.metrics))
    app = Starlette(
        routes=[*routes, *probe_routes(door, probes), *_described(door), *dashboard_routes()],
        middleware=[Middleware(Front, door=door)],
        exception_handlers={
            HTTPException: _no_route,
            ApiError: _api_error(door.meters),
            StoreAway: _away,
            StoreFull: _no_room,
            BlobError: _away,
            BlobFull: _no_room,
            BlobMissing: _lost,
            RecordsGone: _no_records,
        },
    )
    # Not redirected: clients would repeat a POST without its body, or not at all.
    app.router.redirect_slashes = False
    door.gate.on_close.append(lambda: service.watching.stop())
    return app


def _guarded(context: Context, endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
    admin = endpoint.home is Home.ADMIN

    async def handle(request: Request) -> Response:
        caller = await authenticate(context, request)
        if admin:
            require_admin(caller)
        else:
            await context.service.request_quotas.admit(caller)
            caller = await acting(context, request, caller)
        return await endpoint.handler(context, request, caller)

    return handle


def _described(door: Door) -> list[BaseRoute]:
    """The API's own description: nothing of anybody's is in it."""
    document = openapi.document(door.settings.version)
    html = docs_page.page(document)

    async def description(request: Request) -> Response:
        return json_reply(document)

    async def docs(request: Request) -> Response:
        return HTMLResponse(html, headers={"Content-Security-Policy": DOCS_POLICY})

    return [Route("/openapi.json", description), Route("/docs", docs)]


def _api_error(meters: Meters) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def handle(request: Request, error: Exception) -> Response:
        assert isinstance(error, ApiError)
        if error.status == 429:
            count(meters.quota_refusals, error.code or OTHER)
        return error_reply(error)

    return handle


async def _no_room(request: Request, error: Exception) -> Response:
    """No fault of the server's code, and no traceback in its log for each who asks meanwhile."""
    log.error("%s %s: %s", request.method, request.url.path, error)
    return error_reply(disk_full())


async def _away(request: Request, error: Exception) -> Response:
    """As with `_no_room`; clients come back by themselves."""
    log.error("%s %s: %s", request.method, request.url.path, error)
    return error_reply(blobs_away() if isinstance(error, BlobError) else store_away())


async def _lost(request: Request, error: Exception) -> Response:
    """Bytes that a row names and that are not there come back by no waiting: a fault, to be looked into."""
    raise error


async def _no_records(request: Request, error: Exception) -> Response:
    return error_reply(records_gone())


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
