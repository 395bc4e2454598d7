"""The first schema. See `adapters.sql.schema` for what the tables mean."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_SERIAL = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def _yes(name: str) -> sa.ColumnElement[bool]:
    return sa.column(name) == sa.true()


def _no(name: str) -> sa.ColumnElement[bool]:
    return sa.column(name) == sa.false()


def _given(name: str) -> sa.ColumnElement[bool]:
    return sa.column(name).is_not(None)


def _empty(name: str) -> sa.ColumnElement[bool]:
    return sa.column(name).is_(None)


_no_pending = sa.column("pending") == sa.literal_column("0")


def _partial(condition: sa.ColumnElement[bool]) -> dict[str, Any]:
    return {"sqlite_where": condition, "postgresql_where": condition}


def upgrade() -> None:
    op.create_table(
        "batch_lanes",
        sa.Column("batch_seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("lane_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("pending", sa.BigInteger(), nullable=False),
        sa.Column("done", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("batch_seq", "lane_id"),
    )
    op.create_table(
        "batches",
        sa.Column("seq", _SERIAL, nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("live", sa.Boolean(), nullable=False),
        sa.Column("closing", sa.String()),
        sa.Column("endpoint", sa.String(), nullable=False),
        sa.Column("completion_window", sa.String(), nullable=False),
        sa.Column("input_file_id", sa.String(), nullable=False),
        sa.Column("metadata", sa.Text()),
        sa.Column("output_expires_after_s", sa.BigInteger()),
        sa.Column("model", sa.String()),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("done", sa.BigInteger(), nullable=False),
        sa.Column("completed", sa.BigInteger(), nullable=False),
        sa.Column("failed", sa.BigInteger(), nullable=False),
        sa.Column("tokens_input", sa.BigInteger(), nullable=False),
        sa.Column("tokens_cached", sa.BigInteger(), nullable=False),
        sa.Column("tokens_output", sa.BigInteger(), nullable=False),
        sa.Column("tokens_reasoning", sa.BigInteger(), nullable=False),
        sa.Column("errors", sa.Text()),
        sa.Column("output_file_id", sa.String()),
        sa.Column("error_file_id", sa.String()),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.Column("in_progress_ms", sa.BigInteger()),
        sa.Column("finalizing_ms", sa.BigInteger()),
        sa.Column("completed_ms", sa.BigInteger()),
        sa.Column("failed_ms", sa.BigInteger()),
        sa.Column("expired_ms", sa.BigInteger()),
        sa.Column("cancelling_ms", sa.BigInteger()),
        sa.Column("cancelled_ms", sa.BigInteger()),
        sa.Column("retry_of", sa.String()),
        sa.Column("input_blob_key", sa.String()),
        sa.Column("input_index_key", sa.String()),
        sa.Column("input_bytes", sa.BigInteger(), nullable=False),
        sa.Column("planned", sa.Boolean(), nullable=False),
        sa.Column("sealed", sa.Boolean(), nullable=False),
        sa.Column("unfolded", sa.BigInteger(), nullable=False),
        sa.Column("next_seq", sa.BigInteger(), nullable=False),
        sa.Column("next_event", sa.BigInteger(), nullable=False),
        sa.Column("duty_owner", sa.String()),
        sa.Column("duty_epoch", sa.BigInteger(), nullable=False),
        sa.Column("purge_ms", sa.BigInteger()),
        sa.Column("purged", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("id"),
    )
    op.create_index("batches_live", "batches", ["seq"], **_partial(_yes("live")))
    op.create_index("batches_of_tenant", "batches", ["tenant_id", "seq"])
    op.create_index("batches_to_purge", "batches", ["purge_ms"], **_partial(_given("purge_ms") & _no("purged")))
    op.create_table(
        "events",
        sa.Column("batch_seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("no", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("batch_seq", "no"),
    )
    op.create_table(
        "files",
        sa.Column("seq", _SERIAL, nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("filename", sa.String(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("lines", sa.BigInteger()),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger()),
        sa.Column("blob_key", sa.String()),
        sa.Column("index_key", sa.String()),
        sa.Column("batch_id", sa.String()),
        sa.Column("deleted_ms", sa.BigInteger()),
        sa.Column("released", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("id"),
    )
    op.create_index("files_by_blob", "files", ["blob_key"], **_partial(_no("released")))
    op.create_index("files_by_index", "files", ["index_key"], **_partial(_no("released")))
    op.create_index("files_expiring", "files", ["expires_ms"], **_partial(_empty("deleted_ms") & _given("expires_ms")))
    op.create_index("files_of_purpose", "files", ["tenant_id", "purpose", "seq"], **_partial(_empty("deleted_ms")))
    op.create_index("files_of_tenant", "files", ["tenant_id", "seq"], **_partial(_empty("deleted_ms")))
    op.create_index("files_to_release", "files", ["deleted_ms"], **_partial(_given("deleted_ms") & _no("released")))
    op.create_table(
        "garbage",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_index("ix_garbage_since_ms", "garbage", ["since_ms"])
    op.create_table(
        "idempotency",
        sa.Column("batch_seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("route", sa.String(), nullable=False),
        sa.Column("key", sa.String()),
        sa.Column("api_key_id", sa.String(), nullable=False),
        sa.Column("body_hash", sa.String(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("batch_seq"),
    )
    op.create_index("idempotency_bodies", "idempotency", ["api_key_id", "body_hash"])
    op.create_index("idempotency_keys", "idempotency", ["tenant_id", "route", "key"], unique=True)
    op.create_index("ix_idempotency_at_ms", "idempotency", ["at_ms"])
    op.create_table(
        "lanes",
        sa.Column("id", _SERIAL, nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("pool", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reason", sa.String()),
        sa.Column("until_ms", sa.BigInteger()),
        sa.Column("limit", sa.Integer()),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("provider", "model", "pool"),
    )
    op.create_table(
        "loads",
        sa.Column("worker", sa.String(), nullable=False),
        sa.Column("lane_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("batch_seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("in_flight", sa.Integer(), nullable=False),
        sa.Column("retrying", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("worker", "lane_id", "batch_seq"),
    )
    op.create_index("loads_of_batch", "loads", ["batch_seq"])
    op.create_table(
        "ranges",
        sa.Column("batch_seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("range_no", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("first_line", sa.BigInteger(), nullable=False),
        sa.Column("lines", sa.Integer(), nullable=False),
        sa.Column("done", sa.LargeBinary(), nullable=False),
        sa.Column("pending", sa.Integer(), nullable=False),
        sa.Column("output_bytes", sa.BigInteger(), nullable=False),
        sa.Column("error_bytes", sa.BigInteger(), nullable=False),
        sa.Column("segment_seqs", sa.LargeBinary(), nullable=False),
        sa.Column("output_run_key", sa.String()),
        sa.Column("error_run_key", sa.String()),
        sa.Column("folded", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("batch_seq", "range_no"),
    )
    op.create_index("ranges_by_error_run", "ranges", ["error_run_key"], **_partial(_given("error_run_key")))
    op.create_index("ranges_by_output_run", "ranges", ["output_run_key"], **_partial(_given("output_run_key")))
    op.create_index("ranges_to_fold", "ranges", ["batch_seq", "range_no"], **_partial(_no_pending & _no("folded")))
    op.create_table(
        "segments",
        sa.Column("batch_seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("length", sa.BigInteger(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("admitted", sa.LargeBinary(), nullable=False),
        sa.Column("blob_key", sa.String()),
        sa.Column("data", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("batch_seq", "seq"),
    )
    op.create_index("segments_by_blob", "segments", ["blob_key"], **_partial(_given("blob_key")))
    op.create_table(
        "shards",
        sa.Column("id", _SERIAL, nullable=False),
        sa.Column("batch_seq", sa.BigInteger(), nullable=False),
        sa.Column("range_no", sa.BigInteger(), nullable=False),
        sa.Column("lane_id", sa.BigInteger(), nullable=False),
        sa.Column("members", sa.LargeBinary(), nullable=False),
        sa.Column("pending", sa.Integer(), nullable=False),
        sa.Column("owner", sa.String()),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("open", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_shards_batch_seq", "shards", ["batch_seq"])
    op.create_index(
        "shards_free",
        "shards",
        ["batch_seq", "lane_id", "range_no", "pending"],
        **_partial(_yes("open") & _empty("owner")),
    )
    op.create_index("shards_owned", "shards", ["owner"], **_partial(_yes("open") & _given("owner")))
    op.create_table(
        "tenants",
        sa.Column("seq", _SERIAL, nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("weight", sa.Integer(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("id"),
        sa.UniqueConstraint("name"),
    )
    op.create_table(
        "upload_parts",
        sa.Column("seq", _SERIAL, nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("upload_id", sa.String(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("blob_key", sa.String(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("id"),
    )
    op.create_index("ix_upload_parts_blob_key", "upload_parts", ["blob_key"])
    op.create_index("upload_parts_of_upload", "upload_parts", ["upload_id", "seq"])
    op.create_table(
        "uploads",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("filename", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("mime_type", sa.String(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.Column("file_expires_after_s", sa.BigInteger()),
        sa.Column("file_id", sa.String()),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("uploads_expiring", "uploads", ["state", "expires_ms"])
    op.create_table(
        "workers",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("lease_until_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "api_keys",
        sa.Column("seq", _SERIAL, nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("label", sa.String(), nullable=False),
        sa.Column("tail", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("revoked_ms", sa.BigInteger()),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("id"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
        sa.UniqueConstraint("digest"),
    )
