"""Batches, the requests that made them, and what happened to them."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import BigInteger, Column, Index, String, Table, Text

from batchrouter.adapters.sql.schema.base import Serial, added, count, flag, metadata, partial

# `live`: not final. The input's keys and size are copied at creation, so that the bytes stay whatever happens to the
# file's row. `unfolded` counts ranges without runs. `purge_ms`: since when its segments and runs are garbage; its rows
# follow after the linger time (`purged`), so that a running download is not cut. `copying`: 1 while answers that it
# keeps of another batch (`retry_of`, `resume_from`) are still to be copied; their lines are in no shard. `followers`:
# lines that wait, in no shard either, for the answer to an identical one. `retry`: JSON of what is sent again, and how.
batches = Table(
    "batches",
    metadata,
    Column("seq", Serial, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("tenant_id", String, nullable=False),
    Column("state", String, nullable=False),
    flag("live", default=True),
    Column("closing", String),
    Column("endpoint", String, nullable=False),
    Column("completion_window", String, nullable=False),
    Column("input_file_id", String, nullable=False),
    Column("metadata", Text),
    Column("output_expires_after_s", BigInteger),
    Column("model", String),
    count("total"),
    count("done"),
    count("completed"),
    count("failed"),
    count("tokens_input"),
    count("tokens_cached"),
    count("tokens_output"),
    count("tokens_reasoning"),
    Column("errors", Text),
    Column("output_file_id", String),
    Column("error_file_id", String),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("in_progress_ms", BigInteger),
    Column("finalizing_ms", BigInteger),
    Column("completed_ms", BigInteger),
    Column("failed_ms", BigInteger),
    Column("expired_ms", BigInteger),
    Column("cancelling_ms", BigInteger),
    Column("cancelled_ms", BigInteger),
    Column("retry_of", String),
    Column("input_blob_key", String),
    Column("input_index_key", String),
    count("input_bytes"),
    flag("planned", default=False),
    flag("sealed", default=False),
    count("unfolded"),
    count("next_seq", 1),
    count("next_event", 1),
    Column("duty_owner", String),
    count("duty_epoch"),
    Column("purge_ms", BigInteger),
    flag("purged", default=False),
    added("cost_nano"),
    added("unpriced"),
    Column("max_cost_nano", BigInteger),
    added("priority"),
    Column("paused_ms", BigInteger),
    Column("resume_from", String),
    Column("retry", Text),
    added("dedupe"),
    added("copying"),
    added("followers"),
    added("invalid_output"),
    added("reused"),
)
Index("batches_of_tenant", batches.c.tenant_id, batches.c.seq)
Index("batches_live", batches.c.seq, **partial(batches.c.live == sa.true()))
Index(
    "batches_to_purge",
    batches.c.purge_ms,
    **partial(batches.c.purge_ms.is_not(None) & (batches.c.purged == sa.false())),
)

# One row for each create of the last day. `key` is empty for those that brought none.
idempotency = Table(
    "idempotency",
    metadata,
    Column("batch_seq", BigInteger, primary_key=True, autoincrement=False),
    Column("tenant_id", String, nullable=False),
    Column("route", String, nullable=False),
    Column("key", String),
    Column("api_key_id", String, nullable=False),
    Column("body_hash", String, nullable=False),
    Column("at_ms", BigInteger, nullable=False, index=True),
)
Index("idempotency_keys", idempotency.c.tenant_id, idempotency.c.route, idempotency.c.key, unique=True)
Index("idempotency_bodies", idempotency.c.api_key_id, idempotency.c.body_hash)

events = Table(
    "events",
    metadata,
    Column("batch_seq", BigInteger, primary_key=True, autoincrement=False),
    Column("no", BigInteger, primary_key=True, autoincrement=False),
    Column("type", String, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("data", Text, nullable=False),
)
