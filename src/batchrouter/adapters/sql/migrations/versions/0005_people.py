"""What people steer, see and are told. See `adapters.sql.schema` for what the tables mean."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_COUNTS = ("dedupe", "copying", "followers", "invalid_output", "reused")


def upgrade() -> None:
    op.add_column("batches", sa.Column("paused_ms", sa.BigInteger()))
    op.add_column("batches", sa.Column("resume_from", sa.String()))
    op.add_column("batches", sa.Column("retry", sa.Text()))
    for name in _COUNTS:
        op.add_column("batches", sa.Column(name, sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("segments", sa.Column("records", sa.LargeBinary()))
    op.add_column("segments", sa.Column("at_ms", sa.BigInteger()))
    op.add_column("loads", sa.Column("throttled", sa.BigInteger(), server_default="0", nullable=False))
    op.create_table(
        "samples",
        sa.Column("batch_seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("lane_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at_ms", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("in_flight", sa.Integer(), nullable=False),
        sa.Column("limit", sa.Integer()),
        sa.Column("throttled", sa.BigInteger(), nullable=False),
        sa.Column("cost_nano", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("batch_seq", "lane_id", "at_ms"),
    )
    _webhooks()


def _webhooks() -> None:
    op.create_table(
        "webhook_endpoints",
        sa.Column("seq", _SERIAL, nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("events", sa.Text(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("disabled_reason", sa.String()),
        sa.Column("secret", sa.String(), nullable=False),
        sa.Column("former_secret", sa.String()),
        sa.Column("former_until_ms", sa.BigInteger()),
        sa.Column("configured", sa.Boolean(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("id"),
    )
    op.create_index("webhook_endpoints_of_tenant", "webhook_endpoints", ["tenant_id", "seq"])
    op.create_table(
        "webhook_deliveries",
        sa.Column("seq", _SERIAL, nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("endpoint_seq", sa.BigInteger(), nullable=False),
        sa.Column("batch_id", sa.String()),
        sa.Column("event_no", sa.BigInteger()),
        sa.Column("event_ms", sa.BigInteger(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("since_ms", sa.BigInteger()),
        sa.Column("next_ms", sa.BigInteger(), nullable=False),
        sa.Column("owner", sa.String()),
        sa.Column("last_status", sa.Integer()),
        sa.Column("last_error", sa.String()),
        sa.Column("log", sa.Text()),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("ended_ms", sa.BigInteger()),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("id"),
    )
    op.create_index("ix_webhook_deliveries_created_ms", "webhook_deliveries", ["created_ms"])
    op.create_index("webhook_deliveries_of_endpoint", "webhook_deliveries", ["endpoint_seq", "seq"])
    waiting = sa.column("state") == sa.literal_column("'waiting'")
    op.create_index(
        "webhook_deliveries_due",
        "webhook_deliveries",
        ["endpoint_seq", "next_ms"],
        sqlite_where=waiting,
        postgresql_where=waiting,
    )
