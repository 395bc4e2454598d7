"""The tables. Times are unix milliseconds, bitmaps little-endian bytes (`domain.bitmap`), JSON is text.

Children of a batch name it by `batch_seq`: a number is a quarter of the text in every index, and sorts by age. What is
asked every second (duties, free shards, lapsed owners, ranges to fold, bytes to release) has a partial index that holds
only the rows still of interest, so that finished work costs nothing.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, LargeBinary, String, Table, Text

VERSIONS = ("0001", "0002", "0003", "0004")
"""Every migration in order; the last is what this code speaks. Kept here so that a start need not import Alembic."""
HEAD = VERSIONS[-1]

metadata = sa.MetaData()

Serial = BigInteger().with_variant(Integer, "sqlite")
"""SQLite numbers rows by itself only where the key is declared INTEGER."""


def _partial(condition: sa.ColumnElement[bool]) -> dict[str, Any]:
    return {"sqlite_where": condition, "postgresql_where": condition}


def _flag(name: str, *, default: bool) -> Column[bool]:
    return Column(name, Boolean, nullable=False, default=default)


def _count(name: str, default: int = 0) -> Column[int]:
    return Column(name, BigInteger, nullable=False, default=default)


def _added(name: str) -> Column[int]:
    """A count that a later version put at the end of a table with rows: what those rows have must stand in the schema,
    so that no table is written anew for it."""
    return Column(name, BigInteger, nullable=False, default=0, server_default="0")


# Which version's code may use this database: that one and newer ones. A migration raises it only when it takes away
# what older code needs.
compatibility = Table("compatibility", metadata, Column("oldest", String, nullable=False))
OLDEST = "0004"

# --- people ---------------------------------------------------------------------------------------------------------

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

# --- files ----------------------------------------------------------------------------------------------------------

# A deleted file keeps its row, because it still holds its place in the paging of others. `released`: its bytes have
# been noted as garbage, or are looked after by its batch's other file.
files = Table(
    "files",
    metadata,
    Column("seq", Serial, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("tenant_id", String, nullable=False),
    Column("role", String, nullable=False),
    Column("purpose", String, nullable=False),
    Column("filename", String, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("lines", BigInteger),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger),
    Column("blob_key", String),
    Column("index_key", String),
    Column("batch_id", String),
    Column("deleted_ms", BigInteger),
    _flag("released", default=False),
)
_alive = files.c.deleted_ms.is_(None)
Index("files_of_tenant", files.c.tenant_id, files.c.seq, **_partial(_alive))
Index("files_of_purpose", files.c.tenant_id, files.c.purpose, files.c.seq, **_partial(_alive))
Index("files_expiring", files.c.expires_ms, **_partial(_alive & files.c.expires_ms.is_not(None)))
Index(
    "files_to_release",
    files.c.deleted_ms,
    **_partial(files.c.deleted_ms.is_not(None) & (files.c.released == sa.false())),
)
Index("files_by_blob", files.c.blob_key, **_partial(files.c.released == sa.false()))
Index("files_by_index", files.c.index_key, **_partial(files.c.released == sa.false()))

uploads = Table(
    "uploads",
    metadata,
    Column("id", String, primary_key=True),
    Column("tenant_id", String, nullable=False),
    Column("state", String, nullable=False),
    Column("filename", String, nullable=False),
    Column("purpose", String, nullable=False),
    Column("mime_type", String, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("file_expires_after_s", BigInteger),
    Column("file_id", String),
)
Index("uploads_expiring", uploads.c.state, uploads.c.expires_ms)

# Rows of ended uploads are gone: their blobs are garbage.
upload_parts = Table(
    "upload_parts",
    metadata,
    Column("seq", Serial, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("upload_id", String, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("blob_key", String, nullable=False, index=True),
    Column("created_ms", BigInteger, nullable=False),
)
Index("upload_parts_of_upload", upload_parts.c.upload_id, upload_parts.c.seq)

# --- batches --------------------------------------------------------------------------------------------------------

# `live`: not final. The input's keys and size are copied at creation, so that the bytes stay whatever happens to the
# file's row. `unfolded` counts ranges without runs. `purge_ms`: since when its segments and runs are garbage; its rows
# follow after the linger time (`purged`), so that a running download is not cut.
batches = Table(
    "batches",
    metadata,
    Column("seq", Serial, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("tenant_id", String, nullable=False),
    Column("state", String, nullable=False),
    _flag("live", default=True),
    Column("closing", String),
    Column("endpoint", String, nullable=False),
    Column("completion_window", String, nullable=False),
    Column("input_file_id", String, nullable=False),
    Column("metadata", Text),
    Column("output_expires_after_s", BigInteger),
    Column("model", String),
    _count("total"),
    _count("done"),
    _count("completed"),
    _count("failed"),
    _count("tokens_input"),
    _count("tokens_cached"),
    _count("tokens_output"),
    _count("tokens_reasoning"),
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
    _count("input_bytes"),
    _flag("planned", default=False),
    _flag("sealed", default=False),
    _count("unfolded"),
    _count("next_seq", 1),
    _count("next_event", 1),
    Column("duty_owner", String),
    _count("duty_epoch"),
    Column("purge_ms", BigInteger),
    _flag("purged", default=False),
    _added("cost_nano"),
    _added("unpriced"),
    Column("max_cost_nano", BigInteger),
    _added("priority"),
)
Index("batches_of_tenant", batches.c.tenant_id, batches.c.seq)
Index("batches_live", batches.c.seq, **_partial(batches.c.live == sa.true()))
Index(
    "batches_to_purge",
    batches.c.purge_ms,
    **_partial(batches.c.purge_ms.is_not(None) & (batches.c.purged == sa.false())),
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

# --- work -----------------------------------------------------------------------------------------------------------

# `done` is the only truth of what is settled; `pending` = lines whose bit is clear, for the index of what can be
# folded. `segment_seqs`: packed u32, ascending. A run may hold several ranges: this one's part begins at `..._run_at`.
# `fold_until_ms`: until then somebody is folding it.
ranges = Table(
    "ranges",
    metadata,
    Column("batch_seq", BigInteger, primary_key=True, autoincrement=False),
    Column("range_no", BigInteger, primary_key=True, autoincrement=False),
    Column("first_line", BigInteger, nullable=False),
    Column("lines", Integer, nullable=False),
    Column("done", LargeBinary, nullable=False),
    Column("pending", Integer, nullable=False),
    _count("output_bytes"),
    _count("error_bytes"),
    Column("segment_seqs", LargeBinary, nullable=False),
    Column("output_run_key", String),
    Column("error_run_key", String),
    _flag("folded", default=False),
    _added("output_run_at"),
    _added("error_run_at"),
    Column("fold_until_ms", BigInteger),
)
Index(
    "ranges_to_fold",
    ranges.c.batch_seq,
    ranges.c.range_no,
    **_partial((ranges.c.pending == sa.literal_column("0")) & (ranges.c.folded == sa.false())),
)
Index("ranges_by_output_run", ranges.c.output_run_key, **_partial(ranges.c.output_run_key.is_not(None)))
Index("ranges_by_error_run", ranges.c.error_run_key, **_partial(ranges.c.error_run_key.is_not(None)))

# `pending` = members whose done bit is clear; kept true while the shard is open. `owner`: a worker or a native job. Of
# closed shards only those keep one that a job still counts by (`JobLedger.overtake`).
shards = Table(
    "shards",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("batch_seq", BigInteger, nullable=False, index=True),
    Column("range_no", BigInteger, nullable=False),
    Column("lane_id", BigInteger, nullable=False),
    Column("members", LargeBinary, nullable=False),
    Column("pending", Integer, nullable=False),
    Column("owner", String),
    _count("epoch"),
    _flag("open", default=True),
    sqlite_autoincrement=True,  # a shard's number is its name in records: never given twice
)
_open = shards.c.open == sa.true()
Index(
    "shards_free",
    shards.c.batch_seq,
    shards.c.lane_id,
    shards.c.range_no,
    shards.c.pending,
    **_partial(_open & shards.c.owner.is_(None)),
)
Index("shards_owned", shards.c.owner, **_partial(shards.c.owner.is_not(None)))

# `probe_worker`: who alone probes the paused lane, until `probe_until_ms`.
lanes = Table(
    "lanes",
    metadata,
    Column("id", Serial, primary_key=True),
    Column("provider", String, nullable=False),
    Column("model", String, nullable=False),
    Column("pool", String, nullable=False),
    Column("mode", String, nullable=False),
    Column("state", String, nullable=False),
    Column("reason", String),
    Column("until_ms", BigInteger),
    Column("limit", Integer),
    Column("probe_worker", String),
    Column("probe_until_ms", BigInteger),
    sa.UniqueConstraint("provider", "model", "pool", "mode", name="lanes_by_key"),
)

# `pending`: of the lane's open shards, and `in_job` of those that a native job has; `done`: lines that were answered
# there, with their tokens and costs. Kept so that a poll counts no shards.
batch_lanes = Table(
    "batch_lanes",
    metadata,
    Column("batch_seq", BigInteger, primary_key=True, autoincrement=False),
    Column("lane_id", BigInteger, primary_key=True, autoincrement=False),
    _count("pending"),
    _count("done"),
    _added("in_job"),
    _added("tokens_input"),
    _added("tokens_cached"),
    _added("tokens_output"),
    _added("tokens_reasoning"),
    _added("cost_nano"),
    _added("unpriced"),
)

# `open`: not `collected`. A job's shards are those whose owner it is.
jobs = Table(
    "jobs",
    metadata,
    Column("seq", Serial, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("batch_seq", BigInteger, nullable=False),
    Column("lane_id", BigInteger, nullable=False),
    Column("state", String, nullable=False),
    _flag("open", default=True),
    Column("lines", Integer, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("next_ms", BigInteger, nullable=False),
    Column("sent_ms", BigInteger),
    Column("submitted_ms", BigInteger),
    Column("cancelling_ms", BigInteger),
    Column("ended_ms", BigInteger),
    Column("ext_id", String),
    _count("completed"),
    _count("failed"),
    _count("polls"),
    _count("tries"),
    _count("twice"),
    Column("reason", String),
    Column("data", Text, nullable=False),
    Column("duty_owner", String),
    _count("duty_epoch"),
)
_under_way = jobs.c.open == sa.true()
Index("jobs_of_batch", jobs.c.batch_seq)
Index("jobs_due", jobs.c.next_ms, **_partial(_under_way))
Index("jobs_of_lane", jobs.c.lane_id, jobs.c.lines, jobs.c.tokens, **_partial(_under_way))

# Bytes are in `data`, or in the blob; in neither once the batch is folded whole and they had been in `data`.
segments = Table(
    "segments",
    metadata,
    Column("batch_seq", BigInteger, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("length", BigInteger, nullable=False),
    Column("count", Integer, nullable=False),
    Column("admitted", LargeBinary, nullable=False),
    Column("blob_key", String),
    Column("data", LargeBinary),
)
Index("segments_by_blob", segments.c.blob_key, **_partial(segments.c.blob_key.is_not(None)))

# --- workers --------------------------------------------------------------------------------------------------------

# A shard's lease is its owner's: one row is renewed at each beat. A worker without a row has been freed.
workers = Table(
    "workers",
    metadata,
    Column("id", String, primary_key=True),
    Column("lease_until_ms", BigInteger, nullable=False),
)

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
    _added("held"),
)

# --- sweeping -------------------------------------------------------------------------------------------------------

# What one of several workers does for all, and until when nobody else need look.
turns = Table(
    "turns", metadata, Column("name", String, primary_key=True), Column("until_ms", BigInteger, nullable=False)
)

garbage = Table(
    "garbage",
    metadata,
    Column("key", String, primary_key=True),
    Column("since_ms", BigInteger, nullable=False, index=True),
)
