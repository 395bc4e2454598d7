"""What several workers and several tenants share. See `adapters.sql.schema` for what the tables mean."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_QUOTAS = ("max_in_flight", "max_lines", "max_bytes", "max_storage_bytes", "max_requests")


def upgrade() -> None:
    for name in _QUOTAS:
        op.add_column("tenants", sa.Column(name, sa.BigInteger()))
    bounded = sa.column("max_in_flight").is_not(None)
    op.create_index(
        "tenants_bounded", "tenants", ["id", "max_in_flight"], sqlite_where=bounded, postgresql_where=bounded
    )
    op.add_column("batches", sa.Column("priority", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("lanes", sa.Column("probe_worker", sa.String()))
    op.add_column("lanes", sa.Column("probe_until_ms", sa.BigInteger()))
    op.create_table(
        "demands",
        sa.Column("worker", sa.String(), nullable=False),
        sa.Column("gate", sa.String(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("held", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("worker", "gate"),
    )
    op.create_table(
        "requests",
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("minute", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("taken", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "minute"),
    )
    for name in ("output_run_at", "error_run_at"):
        op.add_column("ranges", sa.Column(name, sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("ranges", sa.Column("fold_until_ms", sa.BigInteger()))
    op.create_table(
        "turns",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("until_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "installation",
        sa.Column("one", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("marked_ms", sa.BigInteger()),
        sa.PrimaryKeyConstraint("one"),
    )
    compatibility = op.create_table("compatibility", sa.Column("oldest", sa.String(), nullable=False))
    op.bulk_insert(compatibility, [{"oldest": "0004"}])
