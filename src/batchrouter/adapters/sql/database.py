"""What the verbs see of a database: transactions that are short, and errors that are ours.

`sqlite` and `postgres` make the two kinds. A verb is one call of `write` or `read` and what it does inside; it keeps
nothing from one run of itself to the next, so that it can be run again when the database took its transaction back.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from batchrouter.errors import StoreAway, StoreError

upsert = insert
"""INSERT with ON CONFLICT. SQLAlchemy has one per dialect; PostgreSQL's compiles for SQLite too, not the other way
round. Row locks need no seam: `with_for_update` is left out by SQLite's compiler, whose writer is alone."""


class Database(Protocol):
    name: str
    """For messages; holds no password."""

    def write(self, patience_ms: int | None = None) -> AbstractContextManager[sa.Connection]:
        """A connection inside a transaction that commits when the block ends well. `patience_ms`: how long it waits
        for a row that another transaction holds; None: as long as is usual."""
        ...

    def read(self) -> AbstractContextManager[sa.Connection]:
        """A connection that sees one moment of the database, all writes that were committed before it included, and
        cannot write."""
        ...

    def now_ms(self) -> int:
        """The database's own time."""
        ...

    def close(self) -> None:
        """A repeat changes nothing."""
        ...


class TakenBack(StoreError):
    """The database took the transaction back, and nothing of it happened: the same verb may run again."""


class CutOff(StoreAway):
    """The connection broke before COMMIT was asked for: nothing happened, and a new connection may do it."""


class Doubled(StoreError):
    """Such a row exists, and nothing of the transaction happened. Perhaps somebody made it a moment ago, and the verb
    will now find it."""
