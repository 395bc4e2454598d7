"""SQLite: two connections, and the one place where its errors become ours.

The **writer** is the only one that writes or checkpoints (before 3.51.3 a WAL database that several connections write
can be corrupted); the **reader** cannot write at all. Each is used by one thread at a time. A read begins a transaction
of its own, so it sees every write that was committed before it, and ends it at once, so that the log can be
checkpointed.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from batchrouter.errors import StoreError, StoreFull

_BUSY_MS = 5_000
_CHECKPOINT_PAGES = 2_000  # 8 MiB of log between checkpoints: one of some ms about every 100 large settles
_JOURNAL_LIMIT = 64 * 1024 * 1024  # what one huge transaction may leave behind on the disk
_CACHE_KIB = 4_096
_NOW_MS = sa.text("SELECT CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)")


class SqliteDatabase:
    """`adapters.sql.database.Database` on one file."""

    def __init__(self, name: str, writer: sa.Connection, reader: sa.Connection) -> None:
        self.name = name
        self._writer = writer
        self._reader = reader
        self._write_lock = threading.Lock()
        self._read_lock = threading.Lock()

    @contextmanager
    def write(self, patience_ms: int | None = None) -> Iterator[sa.Connection]:
        with self._write_lock:
            try:
                with self._writer.begin():
                    yield self._writer
            except sa.exc.SQLAlchemyError as error:
                raise ours(error, self.name) from error

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        with self._read_lock:
            try:
                with self._reader.begin():
                    yield self._reader
            except sa.exc.SQLAlchemyError as error:
                raise ours(error, self.name) from error

    def now_ms(self) -> int:
        with self.read() as tx:
            return int(tx.execute(_NOW_MS).scalar_one())

    def close(self) -> None:
        """The writer last: the last connection to close puts the log back into the database and removes it."""
        with self._read_lock:
            _dispose(self._reader)
        with self._write_lock:
            _dispose(self._writer)


def open_writer(path: Path, *, sync: bool) -> sa.Connection:
    """Raises StoreError. `sync` false leaves it to the system when bytes reach the disk."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))  # its log takes the same mode; both hold answers
    except OSError as error:
        raise StoreError(f"the database {path} cannot be opened: {error.strerror}") from error

    settings = (
        "journal_mode = WAL",
        f"synchronous = {'FULL' if sync else 'OFF'}",
        f"wal_autocheckpoint = {_CHECKPOINT_PAGES}",
        f"journal_size_limit = {_JOURNAL_LIMIT}",
        "foreign_keys = ON",
    )
    return _hold(lambda: _connect(path, "rw", settings), "BEGIN IMMEDIATE", str(path))


def open_reader(path: Path) -> sa.Connection:
    """The database must have been opened by a writer before: a reader cannot make the files that it shares."""
    return _hold(lambda: _connect(path, "ro", ()), "BEGIN", str(path))


def ours(error: sa.exc.SQLAlchemyError, name: str) -> StoreError:
    """What happened, in a sentence. The statement's values are hidden by the engine: they may hold answers."""
    cause = getattr(error, "orig", None)
    words = str(cause) if cause is not None else str(error)
    for sign, sentence in _SENTENCES.items():
        if sign in words:
            kind = StoreFull if sign == _FULL else StoreError
            return kind(f"{sentence.format(name=name)} ({words})")
    return StoreError(f"the database {name} failed: {words}")


_FULL = "disk is full"
_SENTENCES = {
    _FULL: "no room is left on the disk of the database {name}; nothing was changed: free some space",
    "database is locked": "the database {name} is held by another process: stop it, or use another folder",
    "UNIQUE constraint": "nothing was changed in the database {name}: such a row exists",
    "readonly database": "the database {name} cannot be written: check its owner and mode, and those of its folder",
    "not a database": "{name} is not a database of BatchRouter: use another folder",
    "malformed": "the database {name} is damaged: restore it from a copy",
}


def _connect(path: Path, mode: str, settings: Sequence[str]) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.resolve().as_uri()}?mode={mode}",
        uri=True,
        timeout=_BUSY_MS / 1000,
        isolation_level=None,  # BEGIN is ours: of what kind, and when
        check_same_thread=False,  # `SqliteDatabase` gives it to one thread at a time
        cached_statements=256,
    )
    try:
        for setting in (f"cache_size = -{_CACHE_KIB}", "temp_store = MEMORY", *settings):
            connection.execute(f"PRAGMA {setting}")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _hold(connect: Callable[[], sqlite3.Connection], begin: str, name: str) -> sa.Connection:
    """One connection that is kept: taking it from a pool for each verb would cost as much as a statement."""
    engine = sa.create_engine("sqlite://", creator=connect, poolclass=NullPool, hide_parameters=True)
    sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    try:
        return engine.connect()
    except sa.exc.SQLAlchemyError as error:
        raise ours(error, name) from error


def _dispose(connection: sa.Connection) -> None:
    connection.close()
    connection.engine.dispose()
