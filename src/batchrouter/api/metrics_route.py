"""`/metrics` where strangers can reach it: for keys of role admin."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from batchrouter.api.auth import authenticate, sent_key
from batchrouter.api.context import Context
from batchrouter.api.health import METRICS_PATH, metrics_reply
from batchrouter.domain.tenant import Role
from batchrouter.errors import ApiError, StoreError

REMEMBERED_S = 3600.0
"""While the database is away a key that was good so long ago still is: that is when the numbers are wanted most."""


def guarded_metrics(context: Context, told: Callable[[], Awaitable[bytes]]) -> Route:
    last: tuple[bytes, float] | None = None

    async def metrics(request: Request) -> Response:
        nonlocal last
        digest, now_s = hashlib.sha256((sent_key(request) or "").encode()).digest(), context.door.clock.mono_s()
        try:
            caller = await authenticate(context, request)
        except StoreError:
            if last is None or last[0] != digest or now_s - last[1] > REMEMBERED_S:
                raise
            return metrics_reply(await told())
        if caller.role is not Role.ADMIN:
            raise ApiError(
                403,
                "This key may not see metrics. Use a key of role 'admin' (`batchrouter keys create --role admin`), or "
                "set server.metrics to 'open' where only your own machines reach this port.",
                code="insufficient_permissions",
            )
        last = (digest, now_s)
        return metrics_reply(await told())

    return Route(METRICS_PATH, metrics)
