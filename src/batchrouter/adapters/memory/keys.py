"""Tenants and API keys in memory."""

from __future__ import annotations

from dataclasses import replace

from batchrouter.adapters.memory.state import KeyRow, Part, atomic
from batchrouter.domain.tenant import ApiKey, Tenant
from batchrouter.errors import StoreError


class Keys(Part):
    __slots__ = ()

    @atomic
    def add_tenant(self, tenant: Tenant) -> Tenant:
        tenants = self._state.tenants
        known = next((each for each in tenants.values() if each.name == tenant.name), None)
        kept = tenant if known is None else replace(known, weight=tenant.weight, quotas=tenant.quotas)
        if known is None and tenant.id in tenants:
            raise StoreError(f"a tenant {tenant.id} exists under another name")
        tenants[kept.id] = kept
        return kept

    @atomic
    def tenants(self) -> list[Tenant]:
        return list(self._state.tenants.values())

    @atomic
    def add_key(self, key: ApiKey, digest: str, *, first: bool = False) -> bool:
        if key.tenant_id not in self._state.tenants:
            raise StoreError(f"key {key.id} names tenant {key.tenant_id}, which does not exist")
        if key.id in self._state.keys or any(row.digest == digest for row in self._state.keys.values()):
            raise StoreError(f"key {key.id} exists")
        if first and any(row.key.revoked_ms is None for row in self._state.keys.values()):
            return False
        self._state.keys[key.id] = KeyRow(key, digest)
        return True

    @atomic
    def keys(self, tenant_id: str | None) -> list[ApiKey]:
        found = [row.key for row in self._state.keys.values() if tenant_id in (None, row.key.tenant_id)]
        return sorted(found, key=lambda key: key.created_ms)[::-1]  # stable: of one millisecond, the later first

    @atomic
    def revoke_key(self, key_id: str, now_ms: int) -> ApiKey | None:
        row = self._state.keys.get(key_id)
        if row is None:
            return None
        if row.key.revoked_ms is None:
            row.key = replace(row.key, revoked_ms=now_ms)
        return row.key

    @atomic
    def key_by_digest(self, digest: str) -> ApiKey | None:
        for row in self._state.keys.values():
            if row.digest == digest and row.key.revoked_ms is None:
                return row.key
        return None
