"""Who is told of events, and each event on its way to each of them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table, Text

from batchrouter.adapters.sql.schema.base import Serial, count, flag, metadata, partial

# `events`: their names as a JSON list. `former_secret` signs too, until `former_until_ms`. `configured`: from the
# configuration, which alone changes it.
webhook_endpoints = Table(
    "webhook_endpoints",
    metadata,
    Column("seq", Serial, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("tenant_id", String, nullable=False),
    Column("url", Text, nullable=False),
    Column("events", Text, nullable=False),
    Column("description", String, nullable=False),
    flag("enabled", default=True),
    Column("disabled_reason", String),
    Column("secret", String, nullable=False),
    Column("former_secret", String),
    Column("former_until_ms", BigInteger),
    flag("configured", default=False),
    Column("created_ms", BigInteger, nullable=False),
)
Index("webhook_endpoints_of_tenant", webhook_endpoints.c.tenant_id, webhook_endpoints.c.seq)

# `batch_id` and `event_no` are those of the event, NULL of a test; `event_ms` its time. `since_ms`: its first attempt,
# from which the time for retries runs. `next_ms`: when it is due; while a sender (`owner`) has it, until when. `log`:
# its last attempts as a JSON list.
webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("seq", Serial, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("endpoint_seq", BigInteger, nullable=False),
    Column("batch_id", String),
    Column("event_no", BigInteger),
    Column("event_ms", BigInteger, nullable=False),
    Column("type", String, nullable=False),
    Column("state", String, nullable=False),
    count("attempts"),
    Column("since_ms", BigInteger),
    Column("next_ms", BigInteger, nullable=False),
    Column("owner", String),
    Column("last_status", Integer),
    Column("last_error", String),
    Column("log", Text),
    Column("created_ms", BigInteger, nullable=False, index=True),
    Column("ended_ms", BigInteger),
)
Index("webhook_deliveries_of_endpoint", webhook_deliveries.c.endpoint_seq, webhook_deliveries.c.seq)
Index(
    "webhook_deliveries_due",
    webhook_deliveries.c.endpoint_seq,
    webhook_deliveries.c.next_ms,
    **partial(webhook_deliveries.c.state == "waiting"),
)
