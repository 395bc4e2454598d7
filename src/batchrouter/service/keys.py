"""Tenants and API keys: making, listing, revoking, and telling whose key it is."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from batchrouter.domain.quota import Usage
from batchrouter.domain.tenant import DEFAULT_TENANT, ApiKey, Role, Tenant
from batchrouter.errors import ApiError
from batchrouter.ports.calls import Calls
from batchrouter.ports.catalog import Catalog
from batchrouter.ports.clock import Chance, Clock
from batchrouter.service import asked
from batchrouter.service.caller import Caller

SECRET_PREFIX = "sk-br-"
SECRET_CHARS = 48
"""48 characters of base 62 are 285 bits: nobody guesses them, so a plain hash keeps them."""
CACHE_MS = 5_000
CACHE_KEYS = 10_000
WEIGHT_MAX = 1_000
NO_BOUNDS: Mapping[str, int | None] = MappingProxyType({})


class Keys:
    def __init__(self, catalog: Catalog, calls: Calls, clock: Clock, chance: Chance) -> None:
        self._catalog = catalog
        self._calls = calls
        self._clock = clock
        self._chance = chance
        self._known: dict[str, tuple[float, Caller]] = {}
        self._names: dict[str, str] = {}

    async def caller(self, secret: str) -> Caller | None:
        """Whose key this is. A found key is believed for 5 s, so a revoked one may work that long; one that was not
        found is looked up each time."""
        digest = digest_of(secret)
        now_s = self._clock.mono_s()
        known = self._known.get(digest)
        if known is not None and known[0] > now_s:
            return known[1]
        key = await self._calls.read(self._catalog.key_by_digest, digest)
        if key is None:
            self._known.pop(digest, None)
            return None
        if len(self._known) >= CACHE_KEYS:
            self._known.clear()
        caller = Caller(key.tenant_id, key.id, key.role)
        self._known[digest] = (now_s + CACHE_MS / 1000, caller)
        return caller

    async def create(
        self, tenant: str = DEFAULT_TENANT, role: Role = Role.USER, label: str = "", weight: int | None = None
    ) -> tuple[ApiKey, str]:
        """A new key and its secret, which is kept nowhere. The tenant is made if there is none of that name; a weight
        that is given becomes the tenant's."""
        key, secret, _ = await self._add(await self.tenant(tenant, weight), role, label, first=False)
        return key, secret

    async def first(self, label: str) -> str | None:
        """The secret of a new user key of the default tenant; None where any key is valid. Of processes that ask at
        once one gets it."""
        _, secret, made = await self._add(await self.tenant(), Role.USER, label, first=True)
        return secret if made else None

    async def _add(self, home: Tenant, role: Role, label: str, *, first: bool) -> tuple[ApiKey, str, bool]:
        secret = SECRET_PREFIX + self._chance.token(SECRET_CHARS)
        key = ApiKey(
            id=f"key_{self._chance.hex(16)}",
            tenant_id=home.id,
            role=role,
            label=label,
            tail=secret[-4:],
            created_ms=self._clock.unix_ms(),
        )
        return key, secret, await self._calls.write(self._catalog.add_key, key, digest_of(secret), first=first)

    async def all(self, tenant: str | None = None) -> list[tuple[ApiKey, str]]:
        """Keys, newest first, each with its tenant's name; None: of all tenants."""
        names = {home.id: home.name for home in await self.tenants()}
        tenant_id: str | None = None
        if tenant is not None:
            tenant_id = next((id for id, name in names.items() if name == tenant), None)
            if tenant_id is None:
                raise ApiError(404, f"No tenant found with name '{tenant}'.", param="tenant")
        keys = await self._calls.read(self._catalog.keys, tenant_id)
        return [(key, names.get(key.tenant_id, key.tenant_id)) for key in keys]

    async def revoke(self, key_id: str) -> ApiKey:
        """A repeat changes nothing."""
        now_ms = self._clock.unix_ms()
        key = await self._calls.write(self._catalog.revoke_key, key_id, now_ms) if asked.is_id(key_id) else None
        if key is None:
            raise ApiError(404, f"No API key found with id '{key_id}'.")
        self._known.clear()
        return key

    async def tenant_name(self, tenant_id: str) -> str:
        """Its id where there is none such. Looked up once: a tenant's name never changes."""
        name = self._names.get(tenant_id)
        if name is None:
            self._names |= {home.id: home.name for home in await self.tenants()}
            name = self._names.get(tenant_id, tenant_id)
        return name

    async def acting(self, caller: Caller, tenant: str) -> Caller:
        """The caller as one of the tenant of that name, which only an admin may be of another than its own."""
        if caller.role is not Role.ADMIN:
            if tenant == await self.tenant_name(caller.tenant_id):
                return caller
            raise ApiError(
                403,
                "This key may act for its own tenant only. Use a key of role 'admin', or one of that tenant.",
                param="tenant",
                code="insufficient_permissions",
            )
        found = next((home for home in await self.tenants() if home.name == tenant), None)
        if found is None:
            raise ApiError(404, f"No tenant found with name '{tenant[:200]}'.", param="tenant")
        return replace(caller, tenant_id=found.id)

    async def label(self, caller: Caller) -> str:
        """Of the caller's key; empty for one that is in no store."""
        keys = await self._calls.read(self._catalog.keys, None)
        return next((key.label for key in keys if key.id == caller.key_id), "")

    async def tenants(self) -> list[Tenant]:
        return await self._calls.read(self._catalog.tenants)

    async def tenants_and_usage(self) -> list[tuple[Tenant, Usage]]:
        """Each with what it has now."""
        return await self._calls.read(self._with_usage)

    async def tenant(
        self, name: str = DEFAULT_TENANT, weight: int | None = None, bounds: Mapping[str, int | None] = NO_BOUNDS
    ) -> Tenant:
        """The tenant of this name, made if there is none. Its weight is changed only when one is given, and of its
        quotas those that `bounds` names."""
        known = next((home for home in await self.tenants() if home.name == name), None)
        if known is None:
            known = Tenant(
                id=DEFAULT_TENANT if name == DEFAULT_TENANT else f"tenant_{self._chance.hex(16)}",
                name=name,
                weight=1,
                created_ms=self._clock.unix_ms(),
            )
        elif weight is None and not bounds:
            return known
        wanted = replace(
            known, weight=known.weight if weight is None else weight, quotas=replace(known.quotas, **bounds)
        )
        return await self._calls.write(self._catalog.add_tenant, wanted)

    def _with_usage(self) -> list[tuple[Tenant, Usage]]:
        return [(home, self._catalog.usage(home.id)) for home in self._catalog.tenants()]


def digest_of(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="surrogateescape")).hexdigest()
