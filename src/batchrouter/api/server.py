"""Serve the application on a socket, and stop in good order."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp
from uvicorn.server import ServerState

from batchrouter.api.context import Door
from batchrouter.api.protocol import TimedProtocol, config_for
from batchrouter.api.replies import stopping

BACKLOG = 2_048
CLOSE_S = 1.0
"""After its answer was cut off a request has this long to clean up."""


class ApiServer:
    """`start`, then `begin_shutdown`, then `stop`; all on one event loop. Signals are the caller's affair."""

    def __init__(self, door: Door, app: ASGIApp) -> None:
        self._door = door
        self._app = app
        self._state = ServerState()
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port, which is a free one if `port` is 0. Raises OSError when the address is taken."""
        loop = asyncio.get_running_loop()
        config = config_for(self._app, self._door.settings)
        self._server = await loop.create_server(
            lambda: TimedProtocol(self._door, config, self._state), host, port, backlog=BACKLOG
        )
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    def begin_shutdown(self) -> None:
        """From now on every new request is refused with 503 and `Retry-After`, idle connections close, and requests
        whose body has not come yet are ended at once. Those that wait for news are answered with what there is; answers
        that are being sent go on."""
        self._door.gate.close()
        for connection in list(self._state.connections):
            if isinstance(connection, TimedProtocol):
                connection.end_waiting(stopping(self._door.settings.retry_after_s))

    async def stop(self, grace_s: float) -> None:
        """Stop listening; what is still being answered has `grace_s` to end, then it is cut off."""
        self.begin_shutdown()
        if self._server is not None:
            self._server.close()
        tasks = set(self._state.tasks)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=grace_s)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=CLOSE_S)
        for connection in list(self._state.connections):
            if connection.transport is not None:
                connection.transport.close()
