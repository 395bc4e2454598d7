"""Tenants, their keys and what they may ask for."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, String, Table

from batchrouter.adapters.sql.schema.base import Serial, metadata, partial

# Quotas, none where NULL: calls in flight; lines and bytes of batches that are not final; bytes of files; requests to
# the API in a minute.
tenants = Table(
    "tenants",
    metadata,
    Column("seq", Serial, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("name", String, nullable=False, unique=True),
    Column("weight", Integer, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("max_in_flight", BigInteger),
    Column("max_lines", BigInteger),
    Column("max_bytes", BigInteger),
    Column("max_storage_bytes", BigInteger),
    Column("max_requests", BigInteger),
)
Index("tenants_bounded", tenants.c.id, tenants.c.max_in_flight, **partial(tenants.c.max_in_flight.is_not(None)))

api_keys = Table(
    "api_keys",
    metadata,
    Column("seq", Serial, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    Column("role", String, nullable=False),
    Column("label", String, nullable=False),
    Column("tail", String, nullable=False),
    Column("digest", String, nullable=False, unique=True),
    Column("created_ms", BigInteger, nullable=False),
    Column("revoked_ms", BigInteger),
)

# What a tenant's requests took of a minute's quota, over all API processes. `minute`: unix minutes.
requests = Table(
    "requests",
    metadata,
    Column("tenant_id", String, primary_key=True),
    Column("minute", BigInteger, primary_key=True, autoincrement=False),
    Column("taken", BigInteger, nullable=False),
)
