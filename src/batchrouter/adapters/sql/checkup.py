"""A database looked at by somebody who does not work on it: how quick it is, what time it has, what is under way."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import sqlalchemy as sa

from batchrouter.adapters.clock import RealClock
from batchrouter.adapters.sql import sqlite
from batchrouter.adapters.sql.backlog import SqlBacklogs
from batchrouter.adapters.sql.database import Database
from batchrouter.adapters.sql.postgres import PostgresDatabase
from batchrouter.adapters.sql.rolling import Schema, schema_of, schema_of_file
from batchrouter.domain.backlog import Backlog
from batchrouter.errors import StoreError

COMMITS = 7
# A commit with a message in the log and nothing else: it waits for the disk as any other, and leaves no row.
_COMMIT = sa.text("SELECT pg_logical_emit_message(true, 'batchrouter', 'doctor')")
_VERSION = sa.text("SELECT current_setting('server_version')")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkup:
    """`why_not`: what keeps this version of ours from using it. `ahead_ms`: its clock before this machine's;
    `commit_s`: a commit there, as far as these could be asked. `backlog` None: its schema is another."""

    name: str
    version: str
    schema: str | None
    why_not: str | None
    ahead_ms: int = 0
    commit_s: float | None = None
    backlog: Backlog | None = None


def sqlite_version() -> str:
    return sqlite3.sqlite_version


def check_file(path: Path) -> Checkup:
    """Reads alone, so that a server may hold the folder. Raises StoreError."""
    schema, name = schema_of_file(path), str(path)
    backlog = None
    if path.exists() and _fits(schema):
        try:
            reader = sqlite.open_reader(path)
        except sa.exc.SQLAlchemyError as error:
            raise sqlite.ours(error, name) from error
        database = sqlite.SqliteDatabase(name, reader, reader)
        try:
            backlog = SqlBacklogs(database).backlog(_now_ms())
        finally:
            database.close()
    return Checkup(
        name=name, version=sqlite_version(), schema=schema.version, why_not=schema.why_not(name), backlog=backlog
    )


def check_server(url: str) -> Checkup:
    """Blocks until the server answers or its time is up. Raises ConfigError, StoreError."""
    database = PostgresDatabase(url)
    try:
        schema = schema_of(database)
        with database.read() as tx:
            version = str(tx.execute(_VERSION).scalar_one())
        before_ms = _now_ms()
        theirs_ms = database.now_ms()
        ahead_ms = theirs_ms - (before_ms + _now_ms()) // 2
        return Checkup(
            name=database.name,
            version=version,
            schema=schema.version,
            why_not=schema.why_not(database.name),
            ahead_ms=ahead_ms,
            commit_s=_commit_s(database),
            backlog=SqlBacklogs(database).backlog(theirs_ms) if _fits(schema) else None,
        )
    finally:
        database.close()


def _fits(schema: Schema) -> bool:
    return schema.version is not None and not schema.too_old and not schema.too_new


def _commit_s(database: Database) -> float | None:
    def commit() -> None:
        with database.write() as tx:
            tx.execute(_COMMIT)

    try:
        return median(_seconds(commit) for _ in range(COMMITS))
    except StoreError:  # it may not be allowed, and then only this is not known
        return None


def _seconds(work: Callable[[], None]) -> float:
    began_s = RealClock.mono_s()
    work()
    return RealClock.mono_s() - began_s


def _now_ms() -> int:
    return RealClock().unix_ms()
