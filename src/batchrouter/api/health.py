"""What whoever runs the servers asks, without a key: is it alive, may it be sent work, what does it count."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from batchrouter.api.context import Door
from batchrouter.api.front import Front
from batchrouter.api.objects import Health
from batchrouter.api.replies import json_reply

HEALTH_PATH = "/healthz"
READY_PATH = "/readyz"
METRICS_PATH = "/metrics"
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


async def always_ready() -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class Probes:
    """`ready`: None, or why no work should be sent here, in words without secrets. `metrics`: the text that Prometheus
    reads; without it there is no such path. `guarded`: it is for admins alone, and is not among these routes."""

    ready: Callable[[], Awaitable[str | None]] = always_ready
    metrics: Callable[[], Awaitable[bytes]] | None = None
    guarded: bool = False


def probe_routes(door: Door, probes: Probes) -> list[BaseRoute]:
    async def health(request: Request) -> Response:
        """Answered by the event loop alone: whoever gets no answer may end the process."""
        if door.gate.closing:
            return json_reply(Health("stopping"), 503)
        return json_reply(Health("ok"))

    async def ready(request: Request) -> Response:
        if door.gate.closing:
            return json_reply(Health("stopping"), 503)
        reason = await probes.ready()
        if reason is not None:
            return json_reply(Health("not_ready", reason), 503)
        return json_reply(Health("ok"))

    routes: list[BaseRoute] = [Route(HEALTH_PATH, health), Route(READY_PATH, ready)]
    told = probes.metrics
    if told is not None and not probes.guarded:

        async def metrics(request: Request) -> Response:
            return metrics_reply(await told())

        routes.append(Route(METRICS_PATH, metrics))
    return routes


def metrics_reply(text: bytes) -> Response:
    return Response(text, media_type=METRICS_TYPE)


def create_probe_app(door: Door, probes: Probes) -> ASGIApp:
    """For a process that serves nobody else."""
    return Front(Starlette(routes=probe_routes(door, probes)), door)
