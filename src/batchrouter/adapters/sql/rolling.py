"""The schema of a database that several processes share: who may use it, and how it is made and brought up to date.

A process never changes it at its start: others of another version may be running. `upgrade_postgres` does, before the
new version's processes start; every migration since 0004 only adds, so that the old version's go on meanwhile. Which
code may use a database is written in it (`compatibility.oldest`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import sqlalchemy as sa

from batchrouter.adapters.sql import sqlite
from batchrouter.adapters.sql.database import Database, TakenBack
from batchrouter.adapters.sql.migrate import VERSION_TABLE, make_tables, run_migrations
from batchrouter.adapters.sql.schema import HEAD, compatibility
from batchrouter.errors import StoreError

_UPGRADING = 0x6261746368  # whose bytes say "batch": the advisory lock of whoever makes or changes the schema
_LOCK = sa.text("SELECT pg_advisory_xact_lock(:key)").bindparams(key=_UPGRADING)
_NO_HURRY = sa.text("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '60s'")
# An ALTER that waits for a long transaction makes everybody else wait behind it: it gives up soon, and is run again.
_PATIENCE = sa.text("SET LOCAL lock_timeout = '5s'")


@dataclass(frozen=True, slots=True)
class Schema:
    """What a database says of itself. `version` None: it is empty. `alone`: it is a folder's, which any start makes or
    brings up to date."""

    version: str | None
    oldest: str | None
    alone: bool = False

    @property
    def too_old(self) -> bool:
        return self.version is None or self.version < HEAD

    @property
    def too_new(self) -> bool:
        oldest = self.version if self.alone else self.oldest
        return oldest is not None and oldest > HEAD

    def why_not(self, name: str) -> str | None:
        """Why this version's code cannot work with it as it is, and what to do; None: it can."""
        if self.too_new:
            return (
                f"the schema of the database {name} ({self.version}) is too new: it can be used by versions of "
                f"BatchRouter that know {self.oldest or self.version}, and this one knows up to {HEAD}: install such a "
                "version"
            )
        if self.alone:
            return None
        if self.version is None:
            return f"the database {name} is empty: run batchrouter db upgrade once, before anything else"
        if self.too_old:
            return (
                f"the schema of the database {name} is {self.version}, and this version of BatchRouter needs {HEAD}: "
                "run batchrouter db upgrade; processes of the version before go on meanwhile"
            )
        return None


def schema_of(database: Database) -> Schema:
    """Raises StoreError for a database that is not ours."""
    with database.read() as tx:
        return _look(tx, database.name)


def schema_of_file(path: Path) -> Schema:
    """Of a folder's database, which any start brings up to date; that of a file that is not there is empty."""
    if not path.exists():
        return Schema(None, None, alone=True)
    reader = sqlite.open_reader(path)
    try:
        with reader.begin():
            return replace(_look(reader, str(path)), alone=True)
    except sa.exc.SQLAlchemyError as error:
        raise sqlite.ours(error, str(path)) from error
    finally:
        reader.close()


def admit(database: Database, *, make: bool) -> None:
    """Raises StoreError unless this version's code can work with the database as it is, or, with `make`, made it."""
    found = schema_of(database)
    if found.version is None and make:
        found = upgrade_postgres(database)[1]
    why_not = found.why_not(database.name)
    if why_not is not None:
        raise StoreError(why_not)


def upgrade_postgres(database: Database) -> tuple[Schema, Schema]:
    """Bring the database to this version's schema, or leave it if it is there or beyond; what it was, and what it is.

    All in one transaction: one that dies changed nothing. Of several at once one works, and the others wait for it and
    find nothing to do. Raises StoreError for a database that is not ours or is too new, and where somebody holds a
    table for longer than a few seconds.
    """
    try:
        return _upgrade(database)
    except TakenBack as error:
        raise StoreError(
            f"the database {database.name} could not be upgraded, because somebody holds a table or upgrades it too; "
            f"nothing was changed: run it again ({error})"
        ) from error


def _upgrade(database: Database) -> tuple[Schema, Schema]:
    with database.write() as tx:
        tx.execute(_NO_HURRY)
        tx.execute(_LOCK)
        tx.execute(_PATIENCE)
        before = _look(tx, database.name)
        if before.version is None:
            make_tables(tx)
        elif before.too_new:
            raise StoreError(str(before.why_not(database.name)))
        elif before.too_old:
            run_migrations(tx, HEAD)
        return before, _look(tx, database.name)


def _look(tx: sa.Connection, name: str) -> Schema:
    tables = sa.inspect(tx).get_table_names()
    if not tables:
        return Schema(None, None)
    if VERSION_TABLE.name not in tables:
        raise StoreError(f"{name} is not a database of BatchRouter: use another one")
    version = tx.execute(sa.select(VERSION_TABLE.c.version_num)).scalar()
    if version is None:
        raise StoreError(f"the database {name} does not tell its schema's version: restore it from a copy")
    told = compatibility.name in tables  # since 0004
    return Schema(version, tx.execute(sa.select(sa.func.max(compatibility.c.oldest))).scalar() if told else None)
