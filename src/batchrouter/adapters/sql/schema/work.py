"""Ranges, shards and segments: which lines are done, whose the others are, and where the answers are."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, String, Table

from batchrouter.adapters.sql.schema.base import Serial, added, count, flag, metadata, partial

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
    count("output_bytes"),
    count("error_bytes"),
    Column("segment_seqs", LargeBinary, nullable=False),
    Column("output_run_key", String),
    Column("error_run_key", String),
    flag("folded", default=False),
    added("output_run_at"),
    added("error_run_at"),
    Column("fold_until_ms", BigInteger),
)
Index(
    "ranges_to_fold",
    ranges.c.batch_seq,
    ranges.c.range_no,
    **partial((ranges.c.pending == sa.literal_column("0")) & (ranges.c.folded == sa.false())),
)
Index("ranges_by_output_run", ranges.c.output_run_key, **partial(ranges.c.output_run_key.is_not(None)))
Index("ranges_by_error_run", ranges.c.error_run_key, **partial(ranges.c.error_run_key.is_not(None)))

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
    count("epoch"),
    flag("open", default=True),
    sqlite_autoincrement=True,  # a shard's number is its name in records: never given twice
)
_open = shards.c.open == sa.true()
Index(
    "shards_free",
    shards.c.batch_seq,
    shards.c.lane_id,
    shards.c.range_no,
    shards.c.pending,
    **partial(_open & shards.c.owner.is_(None)),
)
Index("shards_owned", shards.c.owner, **partial(shards.c.owner.is_not(None)))

# Bytes are in `data`, or in the blob; in neither once the batch is folded whole and they had been in `data`: of those
# `records` keeps the records and the tail. `at_ms`: when it was settled (NULL before 0005).
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
    Column("records", LargeBinary),
    Column("at_ms", BigInteger),
)
Index("segments_by_blob", segments.c.blob_key, **partial(segments.c.blob_key.is_not(None)))
