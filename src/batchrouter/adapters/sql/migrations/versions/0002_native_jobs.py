"""Lanes by mode, native jobs, and what lines cost. See `adapters.sql.schema` for what the tables mean."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_SERIAL = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_UNDER_WAY = sa.column("open") == sa.true()
_OWNED = sa.column("owner").is_not(None)


def _partial(condition: sa.ColumnElement[bool]) -> dict[str, Any]:
    return {"sqlite_where": condition, "postgresql_where": condition}


def upgrade() -> None:
    _lanes_have_modes()
    _costs()
    _jobs()
    op.drop_index("shards_owned", "shards")
    op.create_index("shards_owned", "shards", ["owner"], **_partial(_OWNED))


def _lanes_have_modes() -> None:
    """Every lane there is calls in real time. SQLite changes a table's constraint only by making the table anew."""
    before = op.get_context().connection
    assert before is not None
    known = before.execute(sa.text('SELECT id, provider, model, pool, state, reason, until_ms, "limit" FROM lanes'))
    rows = [{**row, "mode": "realtime"} for row in known.mappings()]
    op.drop_table("lanes")
    lanes = op.create_table(
        "lanes",
        sa.Column("id", _SERIAL, nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("pool", sa.String(), nullable=False),
        sa.Column("mode", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reason", sa.String()),
        sa.Column("until_ms", sa.BigInteger()),
        sa.Column("limit", sa.Integer()),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("provider", "model", "pool", "mode", name="lanes_by_key"),
    )
    op.bulk_insert(lanes, rows)


def _costs() -> None:
    """Of lines that were settled before, nobody noted the cost: they count as such wherever they used tokens, so that
    no batch tells a sum that leaves them out."""
    for table, columns in (
        ("batches", ("cost_nano", "unpriced")),
        (
            "batch_lanes",
            (
                "in_job", "tokens_input", "tokens_cached", "tokens_output", "tokens_reasoning", "cost_nano", "unpriced",
            ),
        ),
    ):  # fmt: skip
        for name in columns:
            op.add_column(table, sa.Column(name, sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("batches", sa.Column("max_cost_nano", sa.BigInteger()))
    op.execute("UPDATE batches SET unpriced = completed WHERE tokens_input + tokens_output > 0")
    op.execute(
        "UPDATE batch_lanes SET unpriced = done WHERE done > 0 AND batch_seq IN "
        "(SELECT seq FROM batches WHERE tokens_input + tokens_output > 0)"
    )


def _jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("seq", _SERIAL, nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("batch_seq", sa.BigInteger(), nullable=False),
        sa.Column("lane_id", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("open", sa.Boolean(), nullable=False),
        sa.Column("lines", sa.Integer(), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("next_ms", sa.BigInteger(), nullable=False),
        sa.Column("sent_ms", sa.BigInteger()),
        sa.Column("submitted_ms", sa.BigInteger()),
        sa.Column("cancelling_ms", sa.BigInteger()),
        sa.Column("ended_ms", sa.BigInteger()),
        sa.Column("ext_id", sa.String()),
        sa.Column("completed", sa.BigInteger(), nullable=False),
        sa.Column("failed", sa.BigInteger(), nullable=False),
        sa.Column("polls", sa.BigInteger(), nullable=False),
        sa.Column("tries", sa.BigInteger(), nullable=False),
        sa.Column("twice", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String()),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("duty_owner", sa.String()),
        sa.Column("duty_epoch", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("id"),
    )
    op.create_index("jobs_of_batch", "jobs", ["batch_seq"])
    op.create_index("jobs_due", "jobs", ["next_ms"], **_partial(_UNDER_WAY))
    op.create_index("jobs_of_lane", "jobs", ["lane_id", "lines", "tokens"], **_partial(_UNDER_WAY))
