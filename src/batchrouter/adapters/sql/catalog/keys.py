"""Tenants and API keys."""

from __future__ import annotations

from dataclasses import asdict

import sqlalchemy as sa

from batchrouter.adapters.sql.rows import KEY_COLUMNS, TENANT_COLUMNS, key_of, tenant_of
from batchrouter.adapters.sql.schema import api_keys, tenants
from batchrouter.adapters.sql.verbs import Verbs, param
from batchrouter.domain.tenant import ApiKey, Tenant
from batchrouter.errors import StoreError

_KEYS = sa.select(*KEY_COLUMNS)
_KEY = _KEYS.where(api_keys.c.id == param("id"))
_KEY_BY_DIGEST = _KEYS.where(api_keys.c.digest == param("digest"), api_keys.c.revoked_ms.is_(None))
_ANY_VALID = sa.select(api_keys.c.id).where(api_keys.c.revoked_ms.is_(None)).limit(1)
_REVOKE = api_keys.update().where(api_keys.c.id == param("key_id"), api_keys.c.revoked_ms.is_(None))


class Keys(Verbs):
    def add_tenant(self, tenant: Tenant) -> Tenant:
        with self._db.write() as tx:
            named = tenants.c.name == tenant.name
            values = {"weight": tenant.weight, **asdict(tenant.quotas)}
            if not tx.execute(tenants.update().where(named), values).rowcount:
                new = {"id": tenant.id, "name": tenant.name, "created_ms": tenant.created_ms}
                tx.execute(tenants.insert(), values | new)
            return tenant_of(tx.execute(sa.select(*TENANT_COLUMNS).where(named)).one())

    def tenants(self) -> list[Tenant]:
        """By the order in which they were added."""
        with self._db.read() as tx:
            return [tenant_of(row) for row in tx.execute(sa.select(*TENANT_COLUMNS).order_by(tenants.c.seq))]

    def add_key(self, key: ApiKey, digest: str, *, first: bool = False) -> bool:
        with self._db.write() as tx:
            # Locked, so that of two first keys of this tenant the second sees the first.
            tenant = sa.select(tenants.c.id).where(tenants.c.id == key.tenant_id).with_for_update()
            if tx.execute(tenant).first() is None:
                raise StoreError(f"key {key.id} names tenant {key.tenant_id}, which does not exist")
            if first and tx.execute(_ANY_VALID).first() is not None:
                return False
            values = {column.name: getattr(key, column.name) for column in KEY_COLUMNS}
            tx.execute(api_keys.insert(), values | {"digest": digest})
            return True

    def keys(self, tenant_id: str | None) -> list[ApiKey]:
        found = _KEYS if tenant_id is None else _KEYS.where(api_keys.c.tenant_id == tenant_id)
        with self._db.read() as tx:
            rows = tx.execute(found.order_by(api_keys.c.created_ms.desc(), api_keys.c.seq.desc()))
            return [key_of(row) for row in rows]

    def revoke_key(self, key_id: str, now_ms: int) -> ApiKey | None:
        with self._db.write() as tx:
            tx.execute(_REVOKE, {"key_id": key_id, "revoked_ms": now_ms})
            row = tx.execute(_KEY, {"id": key_id}).first()
            return None if row is None else key_of(row)

    def key_by_digest(self, digest: str) -> ApiKey | None:
        with self._db.read() as tx:
            row = tx.execute(_KEY_BY_DIGEST, {"digest": digest}).first()
            return None if row is None else key_of(row)
