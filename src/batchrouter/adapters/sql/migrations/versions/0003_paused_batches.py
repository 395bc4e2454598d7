"""Why a batch waits in a lane that works. See `adapters.sql.schema` for what the tables mean."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("loads", sa.Column("reason", sa.String()))
    op.add_column("loads", sa.Column("until_ms", sa.BigInteger()))
