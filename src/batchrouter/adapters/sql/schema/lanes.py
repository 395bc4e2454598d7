"""Lanes, a batch's lines in each, and how that went on."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import BigInteger, Column, Integer, String, Table

from batchrouter.adapters.sql.schema.base import Serial, added, count, metadata

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
    count("pending"),
    count("done"),
    added("in_job"),
    added("tokens_input"),
    added("tokens_cached"),
    added("tokens_output"),
    added("tokens_reasoning"),
    added("cost_nano"),
    added("unpriced"),
)

# What a batch had in flight in a lane at a moment, the lane's limit, and what had been spent and refused there so far:
# for people's curves. Gone with the batch's segments.
samples = Table(
    "samples",
    metadata,
    Column("batch_seq", BigInteger, primary_key=True, autoincrement=False),
    Column("lane_id", BigInteger, primary_key=True, autoincrement=False),
    Column("at_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("in_flight", Integer, nullable=False),
    Column("limit", Integer),
    count("throttled"),
    count("cost_nano"),
)
