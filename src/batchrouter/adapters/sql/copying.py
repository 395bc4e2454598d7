"""Copies a folder's database into one on PostgreSQL: all rows as they are, ids and numbers included.

The rows go over in one transaction, so that the copy is there whole or not at all, and nobody works on half of one. It
streams: memory does not grow with the database. What belongs to the processes of the folder (workers, their leases and
loads) stays behind, and what they held is freed on the other side, as after a crash.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from enum import Enum
from pathlib import Path

import sqlalchemy as sa

from batchrouter.adapters.sql import sqlite
from batchrouter.adapters.sql.database import Database
from batchrouter.adapters.sql.garbage import BLOB_COLUMNS
from batchrouter.adapters.sql.ledger.presence import free_all
from batchrouter.adapters.sql.migrate import VERSION_TABLE, bring_to_head
from batchrouter.adapters.sql.postgres import PostgresDatabase
from batchrouter.adapters.sql.rolling import admit, schema_of
from batchrouter.adapters.sql.schema import (
    HEAD,
    api_keys,
    batches,
    compatibility,
    demands,
    files,
    garbage,
    installation,
    lanes,
    loads,
    metadata,
    requests,
    segments,
    tenants,
    turns,
    workers,
)
from batchrouter.adapters.sql.store import DATABASE
from batchrouter.adapters.sql.verbs import param
from batchrouter.errors import StoreError

_OF_PROCESSES = {compatibility, installation, workers, loads, demands, turns, requests}
COPIED = tuple(table for table in metadata.sorted_tables if table not in _OF_PROCESSES)
_ROWS, _WIDE_ROWS = 1_000, 50
_IDS = 1_000

_LONG = (
    sa.text("SET LOCAL statement_timeout = 0"),
    sa.text("SET LOCAL idle_in_transaction_session_timeout = 0"),
    # A server that starts on the database meanwhile waits for the copy, and finds it.
    sa.text(f"LOCK TABLE {tenants.name} IN EXCLUSIVE MODE"),
)
_NAMED = sa.union(
    *(sa.select(column.label("key")).where(column.is_not(None), *on) for column, on in BLOB_COLUMNS)
).subquery()
# What is garbage may be gone already.
_KEYS = (
    sa.select(_NAMED.c.key)
    .where(_NAMED.c.key > param("after"), _NAMED.c.key.not_in(sa.select(garbage.c.key)))
    .order_by(_NAMED.c.key)
    .limit(param("limit"))
)
_NUMBERED = sa.text("SELECT setval(pg_get_serial_sequence(:table, :column), CAST(:next AS BIGINT), false)")
_UNPROBED = lanes.update().values(probe_worker=None, probe_until_ms=None)


class Target(Enum):
    """What is in the database that is to take the copy."""

    EMPTY = "empty"
    SAME = "same"
    """All that the folder has, by ids: an earlier run got through."""
    OTHER = "other"


class Copying:
    """A folder's database, whose lock the caller holds, and one on PostgreSQL. All of it blocks."""

    def __init__(self, source: Database, target: Database, *, tables: bool, closing: ExitStack) -> None:
        self._source = source
        self._target = target
        self._tables = tables
        self._closing = closing
        self.name = target.name

    @classmethod
    def open(cls, folder: Path, url: str, *, touch: bool = True) -> Copying:
        """Both at the schema of this version, made so where they are not; with `touch` false neither is changed.
        Raises StoreError, ConfigError."""
        with ExitStack() as opened:
            source = _source(folder, touch=touch)
            opened.callback(source.close)
            target = PostgresDatabase(url)
            opened.callback(target.close)
            tables = touch or schema_of(target).version is not None
            if tables:
                admit(target, make=touch)
            return cls(source, target, tables=tables, closing=opened.pop_all())

    def counts(self) -> dict[str, int]:
        """Rows to copy, by table."""
        with self._source.read() as tx:
            return _counts(tx)

    def live_batches(self) -> int:
        with self._source.read() as tx:
            return int(tx.execute(sa.select(sa.func.count()).where(batches.c.live == sa.true())).scalar_one())

    def look(self) -> tuple[Target, dict[str, int]]:
        """What the target is, and its rows by table, of which none is zero."""
        if not self._tables:
            return Target.EMPTY, {}
        with self._source.read() as old, self._target.read() as new:
            found = {name: count for name, count in _counts(new).items() if count}
            if not found:
                return Target.EMPTY, {}
            return (Target.SAME if _has_all(old, new) else Target.OTHER), found

    def installation(self) -> str | None:
        """Which installation the target is; None: that of no process yet."""
        if not self._tables:
            return None
        with self._target.read() as tx:
            return tx.execute(sa.select(installation.c.id)).scalar()

    def blob_keys(self, after: str, limit: int) -> list[str]:
        """Of the blobs that rows need, in order, those after `after`."""
        with self._source.read() as tx:
            return list(tx.execute(_KEYS, {"after": after, "limit": limit}).scalars())

    def copy(self, told: Callable[[str, int], None]) -> dict[str, int]:
        """All rows, into an empty target; how many of each table. `told` hears the table and how many rows it has so
        far. Raises StoreError, and then nothing was copied, unless it says that it does not know."""
        now_ms = self._target.now_ms()
        with self._source.read() as old, self._target.write() as new:
            for statement in _LONG:
                new.execute(statement)
            if any(_counts(new).values()):
                raise StoreError(f"somebody else began to use {self.name} meanwhile; nothing was copied")
            for table in COPIED:
                _copy(table, old, new, told)
            copied = _counts(new)
            if copied != _counts(old):
                raise StoreError(f"not all rows arrived in {self.name}; nothing was copied")
            _number(new)
            free_all(new, now_ms)
            new.execute(_UNPROBED)
            return copied

    def close(self) -> None:
        self._closing.close()


def has_database(folder: Path) -> bool:
    return (folder / DATABASE).is_file()


def _source(folder: Path, *, touch: bool) -> Database:
    path = folder / DATABASE
    writer = sqlite.open_writer(path, sync=True)
    try:
        if touch:
            bring_to_head(writer, str(path))
        else:
            with writer.begin():
                version = writer.execute(sa.select(VERSION_TABLE.c.version_num)).scalar()
            if version != HEAD:
                raise StoreError(
                    f"the schema of {path} is {version}, and this version of BatchRouter works with {HEAD}; without "
                    "--dry-run it is brought there first"
                )
        return sqlite.SqliteDatabase(str(path), writer, sqlite.open_reader(path))
    except sa.exc.SQLAlchemyError as error:
        writer.close()
        raise sqlite.ours(error, str(path)) from error
    except StoreError:
        writer.close()
        raise


def _counts(tx: sa.Connection) -> dict[str, int]:
    return {table.name: int(tx.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()) for table in COPIED}


def _has_all(old: sa.Connection, new: sa.Connection) -> bool:
    """Whether every id of the folder is in the target. Ids of files, batches and keys are random."""
    return all(
        new.execute(sa.select(sa.func.count()).where(table.c.id.in_(ids))).scalar_one() == len(ids)
        for table in (tenants, api_keys, files, batches)
        for ids in _ids(table, old)
    )


def _ids(table: sa.Table, tx: sa.Connection) -> Iterator[list[str]]:
    for part in tx.execute(sa.select(table.c.id), execution_options={"yield_per": _IDS}).scalars().partitions():
        yield list(part)


def _copy(table: sa.Table, old: sa.Connection, new: sa.Connection, told: Callable[[str, int], None]) -> None:
    size = _WIDE_ROWS if table is segments else _ROWS
    rows = old.execute(sa.select(table).order_by(*table.primary_key), execution_options={"yield_per": size})
    copied = 0
    for part in rows.mappings().partitions():
        new.execute(table.insert(), [dict(row) for row in part])
        copied += len(part)
        told(table.name, copied)


def _number(tx: sa.Connection) -> None:
    """What the database numbers itself goes on after what was copied."""
    for table in COPIED:
        column = table.autoincrement_column
        if column is not None:
            last = tx.execute(sa.select(sa.func.max(column))).scalar() or 0
            numbers: Mapping[str, object] = {"table": table.name, "column": column.name, "next": last + 1}
            tx.execute(_NUMBERED, numbers)
