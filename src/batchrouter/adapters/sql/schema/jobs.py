"""Native jobs."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import BigInteger, Column, Index, Integer, String, Table, Text

from batchrouter.adapters.sql.schema.base import Serial, count, flag, metadata, partial

# `open`: not `collected`. A job's shards are those whose owner it is.
jobs = Table(
    "jobs",
    metadata,
    Column("seq", Serial, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("batch_seq", BigInteger, nullable=False),
    Column("lane_id", BigInteger, nullable=False),
    Column("state", String, nullable=False),
    flag("open", default=True),
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
    count("completed"),
    count("failed"),
    count("polls"),
    count("tries"),
    count("twice"),
    Column("reason", String),
    Column("data", Text, nullable=False),
    Column("duty_owner", String),
    count("duty_epoch"),
)
_under_way = jobs.c.open == sa.true()
Index("jobs_of_batch", jobs.c.batch_seq)
Index("jobs_due", jobs.c.next_ms, **partial(_under_way))
Index("jobs_of_lane", jobs.c.lane_id, jobs.c.lines, jobs.c.tokens, **partial(_under_way))
