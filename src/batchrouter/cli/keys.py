"""`batchrouter keys`: API keys of a data folder, through the server that holds it where one does, or of PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import msgspec

from batchrouter.bootstrap.folders import keys_in, keys_of, read_server
from batchrouter.cli.client import Client
from batchrouter.cli.settings import data_folder, load_config
from batchrouter.config import is_shared
from batchrouter.domain.tenant import ApiKey, Role
from batchrouter.errors import FolderError, TransportError
from batchrouter.service.keys import Keys

T = TypeVar("T")


class KeyTold(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A key as both ways tell it; times are unix seconds. `secret` only when it was just made."""

    id: str
    tenant: str
    role: str
    label: str
    tail: str
    created_at: int
    revoked_at: int | None
    secret: str | None = None


class KeyFolder:
    """The keys of what the configuration names. Every call raises `BatchRouterError` with a sentence for people."""

    def __init__(self, data: Path | None, config: Path | None) -> None:
        loaded = load_config(config)
        self._shared = loaded.storage if is_shared(loaded.storage) else None
        self._folder = data_folder(data, loaded)

    def create(self, tenant: str, role: Role, label: str, weight: int | None) -> KeyTold:
        async def here(keys: Keys) -> KeyTold:
            key, secret = await keys.create(tenant, role, label, weight)
            return _told(key, tenant, secret)

        def there(server: Client) -> KeyTold:
            body = {"tenant": tenant, "role": role, "label": label, "weight": weight}
            return msgspec.convert(server.json("POST", "/admin/v1/keys", body), KeyTold)

        return self._do(here, there)

    def all(self, tenant: str | None) -> list[KeyTold]:
        """Newest first, revoked ones included."""

        async def here(keys: Keys) -> list[KeyTold]:
            return [_told(key, name) for key, name in await keys.all(tenant)]

        def there(server: Client) -> list[KeyTold]:
            query = "" if tenant is None else f"?tenant={quote(tenant, safe='')}"
            return msgspec.convert(server.json("GET", f"/admin/v1/keys{query}")["data"], list[KeyTold])

        self._must_exist()
        return self._do(here, there)

    def revoke(self, key_id: str) -> KeyTold:
        async def here(keys: Keys) -> KeyTold:
            key = await keys.revoke(key_id)
            return _told(key, await keys.tenant_name(key.tenant_id))

        def there(server: Client) -> KeyTold:
            return msgspec.convert(server.json("DELETE", f"/admin/v1/keys/{quote(key_id, safe='')}"), KeyTold)

        self._must_exist()
        return self._do(here, there)

    def _do(self, here: Callable[[Keys], Awaitable[T]], there: Callable[[Client], T]) -> T:
        async def there_is() -> T:
            async with keys_of(self._folder) if self._shared is None else keys_in(self._shared) as keys:
                return await here(keys)

        try:
            return asyncio.run(there_is())
        except FolderError:
            server = read_server(self._folder)
            if server is None:
                raise
        try:
            return there(Client(server.url, server.token))
        except TransportError as error:
            raise FolderError(f"{self._folder} is held by process {server.pid}, but {error}") from error

    def _must_exist(self) -> None:
        if self._shared is None and not self._folder.is_dir():
            raise FolderError(
                f"there is no data folder {self._folder}; name the server's with --data, or make a key first"
            )


def _told(key: ApiKey, tenant: str, secret: str | None = None) -> KeyTold:
    return KeyTold(
        id=key.id,
        tenant=tenant,
        role=key.role.value,
        label=key.label,
        tail=key.tail,
        created_at=key.created_ms // 1000,
        revoked_at=None if key.revoked_ms is None else key.revoked_ms // 1000,
        secret=secret,
    )
