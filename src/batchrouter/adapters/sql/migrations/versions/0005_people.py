"""What people steer, see and are told. See `adapters.sql.schema` for what the tables mean."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

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
