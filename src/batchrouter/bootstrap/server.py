"""An `Embedded` behind its HTTP API."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from batchrouter.adapters.folder import ServerNote
from batchrouter.api.app import create_app
from batchrouter.api.server import ApiServer
from batchrouter.api.settings import ApiSettings, ModelInfo, StaticKey
from batchrouter.bootstrap.embedded import Embedded
from batchrouter.config import Config
from batchrouter.domain.tenant import DEFAULT_TENANT, Role


@dataclass(frozen=True, slots=True)
class Ready:
    """What a server tells when it is up. `first_key`: made because there was none, told this once."""

    url: str
    folder: Path
    first_key: str | None
    providers: tuple[str, ...]


class Server:
    """An `Embedded` behind its HTTP API."""

    def __init__(self, config: Config, folder: Path, env: Mapping[str, str]) -> None:
        self._embedded = Embedded(config, folder, env)
        self._env_key = env.get("BATCHROUTER_API_KEY") or None
        self._token = self._embedded.chance.token(40)
        self._api: ApiServer | None = None

    async def start(self, host: str, port: int) -> Ready:
        """Listen, then begin to work. Raises OSError when the address is taken; nothing has been done then."""
        embedded = self._embedded
        static = [StaticKey(self._token, Role.ADMIN, key_id="folder")]
        if self._env_key is not None:
            static.append(StaticKey(self._env_key, Role.USER, key_id=_env_key_id(self._env_key)))
        settings = ApiSettings(static_keys=tuple(static), version=version("batchrouter"))
        self._api = ApiServer(create_app(embedded.service, self._list_models, settings), settings)
        await embedded.service.keys.tenant()
        port = await self._api.start(host, port)
        shown = "127.0.0.1" if host in ("0.0.0.0", "::", "") else host
        url = f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"
        embedded.folder.announce(ServerNote(url, os.getpid(), self._token))
        await embedded.start()
        first_key = None
        # After everything that can fail: a key is told once, and a start that fails tells nothing.
        if self._env_key is None and not await embedded.has_keys():
            _, first_key = await embedded.service.keys.create(DEFAULT_TENANT, Role.USER, "made at the first start")
        return Ready(url, embedded.folder.path, first_key, tuple(embedded.config.providers))

    async def stop(self, grace_s: float) -> None:
        """Refuse new work and end waiting requests; let calls and downloads finish for `grace_s`; then close."""
        clock = self._embedded.clock
        until_s = clock.mono_s() + grace_s
        if self._api is not None:
            self._api.begin_shutdown()
        await self._embedded.worker.stop(grace_s)
        # Listening until here: whoever asks meanwhile is told to come back, and not that nobody is there.
        if self._api is not None:
            await self._api.stop(max(0.0, until_s - clock.mono_s()))
        await self._embedded.close()

    def hurry(self) -> None:
        """While `stop` waits for calls: end them now. What was answered is still written."""
        self._embedded.hurry()

    async def _list_models(self) -> list[ModelInfo]:
        config = self._embedded.config
        return [ModelInfo(name, provider) for name, provider in await self._embedded.models.names(config.models)]


def _env_key_id(key: str) -> str:
    """Tells keys of the environment apart over restarts without telling them."""
    return f"env-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
