"""What every table is made of, and which schema this code speaks."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import BigInteger, Boolean, Column, Integer, String, Table

VERSIONS = ("0001", "0002", "0003", "0004", "0005")
"""Every migration in order; the last is what this code speaks. Kept here so that a start need not import Alembic."""
HEAD = VERSIONS[-1]

metadata = sa.MetaData()

Serial = BigInteger().with_variant(Integer, "sqlite")
"""SQLite numbers rows by itself only where the key is declared INTEGER."""


def partial(condition: sa.ColumnElement[bool]) -> dict[str, Any]:
    return {"sqlite_where": condition, "postgresql_where": condition}


def flag(name: str, *, default: bool) -> Column[bool]:
    return Column(name, Boolean, nullable=False, default=default)


def count(name: str, default: int = 0) -> Column[int]:
    return Column(name, BigInteger, nullable=False, default=default)


def added(name: str) -> Column[int]:
    """A count that a later version put at the end of a table with rows: what those rows have must stand in the schema,
    so that no table is written anew for it."""
    return Column(name, BigInteger, nullable=False, default=0, server_default="0")


# Which version's code may use this database: that one and newer ones. A migration raises it only when it takes away
# what older code needs.
compatibility = Table("compatibility", metadata, Column("oldest", String, nullable=False))
OLDEST = "0004"

# Which installation this database is, and since when its place for bytes bears the mark of it (NULL: not yet). One row,
# made when first asked for.
installation = Table(
    "installation",
    metadata,
    Column("one", Integer, primary_key=True, autoincrement=False),
    Column("id", String, nullable=False),
    Column("marked_ms", BigInteger),
)
