"""The HTTP API in front of a storage: alone (`api`), or with a worker in the same process (`serve`)."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path

from batchrouter.adapters.clock import RealChance, RealClock
from batchrouter.adapters.folder import ServerNote
from batchrouter.api.app import create_app
from batchrouter.api.context import Door
from batchrouter.api.health import Probes
from batchrouter.api.late import Late
from batchrouter.api.server import ApiServer
from batchrouter.api.settings import ApiSettings, ModelInfo, StaticKey
from batchrouter.bootstrap.engine import Engine, raise_file_limit
from batchrouter.bootstrap.metrics import Metrics
from batchrouter.bootstrap.providers import Providers, make_service
from batchrouter.bootstrap.ready import Ready, listen
from batchrouter.bootstrap.storage import Storage, open_storage, patiently
from batchrouter.bootstrap.webhooks import configure_webhooks
from batchrouter.config import Config, is_shared
from batchrouter.domain.tenant import Role
from batchrouter.engine.sight import seen
from batchrouter.ports.meters import Meters

FIRST = "made at the first start"
NOT_YET = "the database has not been reached yet"


class Server:
    """`start`, then `stop`, which may come at any moment. `data`: the folder of the command line, if one was given.
    `works`: with a worker in this process. `makes`: an empty database on PostgreSQL gets its tables."""

    def __init__(
        self,
        config: Config,
        data: Path | None,
        env: Mapping[str, str],
        *,
        host: str,
        port: int,
        works: bool,
        makes: bool,
    ) -> None:
        self._config = config
        self._data = data
        self._env = env
        self._host, self._port = host, port
        self._works = works
        self._makes = makes
        self._env_key = env.get("BATCHROUTER_API_KEY") or None
        self._token = RealChance().token(40)
        self._clock = RealClock()
        self._providers = Providers(config, self._clock)
        self._meters = Meters()
        self._metrics = Metrics(self._meters, "serve" if works else "api", self._clock)
        self._storage: Storage | None = None
        self._engine: Engine | None = None
        self._api: ApiServer | None = None
        self._serves = False

    async def start(self) -> Ready:
        """Open the storage, listen, then begin to work. Where a database may be away it listens first, and refuses
        with 503 until it is there. Raises `BatchRouterError`; then only `stop` is left to do."""
        raise_file_limit()
        self._metrics.start()
        shared = is_shared(self._config.storage)
        if not shared:
            self._storage = await open_storage(self._config.storage, self._data, self._env, meters=self._meters)
        door, late = self._make_door(shared=shared)
        self._api = ApiServer(door, late)
        url = await listen(self._api, self._host, self._port)
        if self._storage is None:
            self._storage = await open_storage(
                self._config.storage, self._data, self._env, make=self._makes, meters=self._meters
            )
        return await self._begin(self._storage, door, late, url)

    async def _begin(self, storage: Storage, door: Door, late: Late, url: str) -> Ready:
        service = make_service(storage, self._providers)
        await patiently(service.keys.tenant)
        await patiently(partial(configure_webhooks, storage, self._config))
        if storage.folder is not None:
            storage.folder.announce(ServerNote(url, os.getpid(), self._token))
        storage.start()
        self._metrics.open(storage)
        if self._works:
            self._engine = Engine(storage, self._providers, self._env)
            self._metrics.watch(partial(seen, self._engine.worker))
            await self._engine.start()
        self._serves = True
        late.app = create_app(door, service, self._list_models, self._probes)
        # After everything that can fail: a key is told once, and a start that fails tells nothing.
        first_key = None if self._env_key is not None else await patiently(partial(service.keys.first, FIRST))
        return Ready(
            role="serve" if self._works else "api",
            url=url,
            storage=storage.name,
            providers=tuple(self._config.providers),
            first_key=first_key,
            worker=None if self._engine is None else self._engine.worker.id,
        )

    def _make_door(self, *, shared: bool) -> tuple[Door, Late]:
        static = [] if shared else [StaticKey(self._token, Role.ADMIN, key_id="folder")]
        if self._env_key is not None:
            static.append(StaticKey(self._env_key, Role.USER, key_id=_env_key_id(self._env_key)))
        settings = ApiSettings(static_keys=tuple(static), version=version("batchrouter"))
        door = Door(settings, self._clock, RealChance(), meters=self._meters)
        return door, Late(door, self._probes)

    @property
    def _probes(self) -> Probes:
        told = self._config.server.metrics
        return Probes(self._why_not_ready, None if told == "off" else self._metrics.text, guarded=told != "open")

    async def stop(self, grace_s: float) -> None:
        """Refuse new work and end waiting requests; let calls and downloads finish for `grace_s`; then close."""
        until_s = self._clock.mono_s() + grace_s
        if self._api is not None:
            self._api.begin_shutdown()
        if self._engine is not None:
            await self._engine.stop(grace_s)
        # Listening until here: whoever asks meanwhile is told to come back, and not that nobody is there.
        if self._api is not None:
            await self._api.stop(max(0.0, until_s - self._clock.mono_s()))
        if self._engine is not None:
            await self._engine.aclose()
        await self._metrics.aclose()
        await self._providers.aclose()
        if self._storage is not None:
            await self._storage.close()

    def hurry(self) -> None:
        """While `stop` waits for calls: end them now. What was answered is still written."""
        if self._engine is not None:
            self._engine.hurry()

    async def _why_not_ready(self) -> str | None:
        if self._storage is None or not self._serves:
            return NOT_YET
        if self._engine is not None and not self._engine.worker.holds_lease:
            return "the lease of its worker has lapsed"
        return await self._storage.why_not_ready()

    async def _list_models(self) -> list[ModelInfo]:
        found = await self._providers.models.names(self._config.models)
        return [ModelInfo(name, provider) for name, provider in found]


def _env_key_id(key: str) -> str:
    """Tells keys of the environment apart over restarts without telling them."""
    return f"env-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
