"""Workers: leases, and what each has to say of itself."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table

from batchrouter.adapters.sql.schema.base import added, metadata

# A shard's lease is its owner's: one row is renewed at each beat. A worker without a row has been freed.
workers = Table(
    "workers",
    metadata,
    Column("id", String, primary_key=True),
    Column("lease_until_ms", BigInteger, nullable=False),
)

# `throttled`: replies so far that told the worker to slow down (429, 503, 529).
loads = Table(
    "loads",
    metadata,
    Column("worker", String, primary_key=True),
    Column("lane_id", BigInteger, primary_key=True, autoincrement=False),
    Column("batch_seq", BigInteger, primary_key=True, autoincrement=False),
    Column("in_flight", Integer, nullable=False),
    Column("retrying", Integer, nullable=False),
    Column("reason", String),
    Column("until_ms", BigInteger),
    added("throttled"),
)
Index("loads_of_batch", loads.c.batch_seq)

# What each worker could use of a limit that all share, for an even split, and what it has of it whatever its share is
# now. `gate` names the limit; both are in its unit (`domain.sharing`).
demands = Table(
    "demands",
    metadata,
    Column("worker", String, primary_key=True),
    Column("gate", String, primary_key=True),
    Column("amount", BigInteger, nullable=False),
    added("held"),
)
