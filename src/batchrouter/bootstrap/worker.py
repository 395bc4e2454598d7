"""A worker in a process of its own, with a small port for whoever watches it.

The port is open before the database is reached, so that a process that waits for its database is seen to be alive.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path

from batchrouter.adapters.clock import RealChance, RealClock
from batchrouter.api.context import Door
from batchrouter.api.health import Probes, create_probe_app
from batchrouter.api.server import ApiServer
from batchrouter.api.settings import ApiSettings
from batchrouter.bootstrap.engine import Engine
from batchrouter.bootstrap.metrics import Metrics
from batchrouter.bootstrap.providers import Providers
from batchrouter.bootstrap.ready import Ready, listen
from batchrouter.bootstrap.server import NOT_YET
from batchrouter.bootstrap.storage import Storage, open_storage, patiently
from batchrouter.bootstrap.webhooks import configure_webhooks
from batchrouter.config import Config
from batchrouter.engine.sight import seen
from batchrouter.ports.meters import Meters


class WorkerProcess:
    """`start`, then `stop`, which may come at any moment. `data`: a folder for the bytes, if the command line gave one.
    The configuration names a database that is shared."""

    def __init__(self, config: Config, data: Path | None, env: Mapping[str, str], *, host: str, port: int) -> None:
        self._config = config
        self._data = data
        self._env = env
        self._host, self._port = host, port
        self._clock = RealClock()
        self._storage: Storage | None = None
        self._engine: Engine | None = None
        self._providers = Providers(config, self._clock)
        self._meters = Meters()
        self._metrics = Metrics(self._meters, "worker", self._clock)
        door = Door(ApiSettings(version=version("batchrouter")), self._clock, RealChance(), meters=self._meters)
        told = None if config.server.metrics == "off" else self._metrics.text
        self._server = ApiServer(door, create_probe_app(door, Probes(self._why_not_ready, told)))

    async def start(self) -> Ready:
        """Listen, wait for the database, then begin to work. Raises `BatchRouterError`; then only `stop` is left to
        do."""
        self._metrics.start()
        url = await listen(self._server, self._host, self._port)
        self._storage = await open_storage(self._config.storage, self._data, self._env, meters=self._meters)
        self._storage.start()
        self._metrics.open(self._storage)
        await patiently(partial(configure_webhooks, self._storage, self._config))
        self._engine = Engine(self._storage, self._providers, self._env)
        self._metrics.watch(partial(seen, self._engine.worker))
        await self._engine.start()
        return Ready(
            role="worker",
            url=url,
            storage=self._storage.name,
            providers=tuple(self._config.providers),
            worker=self._engine.worker.id,
        )

    async def stop(self, grace_s: float) -> None:
        """Let calls finish for `grace_s`, write down what came, give everything back. The port answers until then."""
        self._server.begin_shutdown()
        if self._engine is not None:
            await self._engine.stop(grace_s)
            await self._engine.aclose()
        await self._server.stop(0.0)
        await self._metrics.aclose()
        await self._providers.aclose()
        if self._storage is not None:
            await self._storage.close()

    def hurry(self) -> None:
        """While `stop` waits for calls: end them now. What was answered is still written."""
        if self._engine is not None:
            self._engine.hurry()

    async def _why_not_ready(self) -> str | None:
        if self._storage is None or self._engine is None:
            return NOT_YET
        if not self._engine.worker.holds_lease:
            return "the lease has lapsed"
        return await self._storage.why_not_ready()
