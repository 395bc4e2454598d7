"""`batchrouter keys` and `batchrouter tenants`: those of a data folder, through the server that holds it where one
does, or of PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import msgspec

from batchrouter.bootstrap.folders import keys_in, keys_of, read_server
from batchrouter.cli.client import Client
from batchrouter.cli.settings import data_folder, load_config
from batchrouter.config import is_shared
from batchrouter.domain.tenant import ApiKey, Role, Tenant
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


class TenantTold(msgspec.Struct, kw_only=True):
    """A tenant as both ways tell it."""

    id: str
    name: str
    weight: int
    created_at: int
    quotas: dict[str, int | None]
    usage: dict[str, int] = {}


class KeyFolder:
    """The keys and tenants of what the configuration names. Every call raises `BatchRouterError` with a sentence for
    people."""

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

    def tenants(self) -> list[TenantTold]:
        """Each with what it has."""

        async def here(keys: Keys) -> list[TenantTold]:
            return [_tenant_told(home, asdict(usage)) for home, usage in await keys.tenants_and_usage()]

        def there(server: Client) -> list[TenantTold]:
            return msgspec.convert(server.json("GET", "/admin/v1/tenants")["data"], list[TenantTold])

        self._must_exist()
        return self._do(here, there)

    def set_tenant(self, name: str, weight: int | None, bounds: dict[str, int | None]) -> TenantTold:
        """Of the quotas those that `bounds` names; None takes a bound away. Made if there is none of this name."""

        async def here(keys: Keys) -> TenantTold:
            return _tenant_told(await keys.tenant(name, weight, bounds), {})

        def there(server: Client) -> TenantTold:
            body = {"name": name, "weight": weight, "quotas": bounds}
            return msgspec.convert(server.json("POST", "/admin/v1/tenants", body), TenantTold)

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


def _tenant_told(tenant: Tenant, usage: dict[str, int]) -> TenantTold:
    return TenantTold(
        id=tenant.id,
        name=tenant.name,
        weight=tenant.weight,
        created_at=tenant.created_ms // 1000,
        quotas=asdict(tenant.quotas),
        usage=usage,
    )
