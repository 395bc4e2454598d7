"""PostgreSQL: a pool of connections, and the one place where its errors become ours.

Each thread that calls a verb takes a connection for as long as the verb runs. Writes are READ COMMITTED: a verb locks
the rows that it reads before it decides. A read is REPEATABLE READ, so that its statements see one moment, as they do
on SQLite. Nothing waits without an end: for a connection, a lock, a statement, or a peer that is gone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.pool import QueuePool

from batchrouter.adapters.sql.database import CutOff, Doubled, TakenBack
from batchrouter.errors import ConfigError, StoreAway, StoreError, StoreFull

if TYPE_CHECKING:
    import psycopg

CONNECTIONS_MAX = 16
"""Of one process, wakes apart: a writer, some readers, the lease thread and the clock; more only for a moment."""
_KEPT = 6
_NOW_MS = sa.text("SELECT CAST(EXTRACT(epoch FROM clock_timestamp()) * 1000 AS BIGINT)")

# What the URL does not say itself. A peer that is gone is noticed within about ten seconds, which is shorter than a
# lease. On the server a transaction whose client says nothing more gives its locks back sooner: others wait for them,
# and ours never pause that long unless they are frozen or cut off.
_DEFAULTS: dict[str, str] = {
    "application_name": "batchrouter",
    "connect_timeout": "5",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}
_SETTINGS = {
    "statement_timeout": 60_000,
    "lock_timeout": 20_000,
    "idle_in_transaction_session_timeout": 3_000,
    "tcp_keepalives_idle": 5,
    "tcp_keepalives_interval": 2,
    "tcp_keepalives_count": 3,
    "client_min_messages": "warning",
}


class PostgresDatabase:
    """`adapters.sql.database.Database` on a PostgreSQL server."""

    def __init__(self, url: str) -> None:
        """Connects when first asked. Raises ConfigError for a URL that is none."""
        self._link = Link(url)
        self.name = self._link.name
        self._closed = False
        self._engine = sa.create_engine(
            "postgresql+psycopg://",
            creator=self._connect,
            poolclass=QueuePool,
            pool_size=_KEPT,
            max_overflow=CONNECTIONS_MAX - _KEPT,
            pool_timeout=20,
            pool_use_lifo=True,  # one that is needed seldom is closed by its server, and others are not
            hide_parameters=True,
        )
        self._reading = self._engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    @contextmanager
    def write(self, patience_ms: int | None = None) -> Iterator[sa.Connection]:
        committing = False
        try:
            with self._engine.begin() as connection:
                if patience_ms is not None:
                    connection.exec_driver_sql(f"SET LOCAL lock_timeout = {patience_ms}")
                yield connection
                committing = True
        except sa.exc.SQLAlchemyError as error:
            raise ours(error, self.name, committing=committing) from error

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        try:
            with self._reading.begin() as connection:
                yield connection
        except sa.exc.SQLAlchemyError as error:
            raise ours(error, self.name) from error

    def now_ms(self) -> int:
        with self.read() as tx:
            return int(tx.execute(_NOW_MS).scalar_one())

    def close(self) -> None:
        """A verb that another thread is in the middle of ends as it would have."""
        self._closed = True
        self._engine.dispose()

    def _connect(self) -> psycopg.Connection[Any]:
        if self._closed:
            raise StoreError(f"the store on {self.name} is closed: the process is stopping")
        return self._link.connect()


class Link:
    """How to reach one database: the URL's words, and ours where it has none."""

    def __init__(self, url: str) -> None:
        """Raises ConfigError for a URL that is none, and where the driver is not installed."""
        try:
            import psycopg
            from psycopg import conninfo
        except ImportError as error:
            raise ConfigError(
                "a database on PostgreSQL needs the driver, which is not installed: pip install 'batchrouter[postgres]'"
            ) from error
        try:
            said = conninfo.conninfo_to_dict(url)
        except psycopg.ProgrammingError as error:
            raise ConfigError(
                "storage.database is no URL of a PostgreSQL database: postgresql://user@host/name"
            ) from error
        settings = "".join(f" -c {name}={value}" for name, value in _SETTINGS.items())
        self._words: dict[str, Any] = _DEFAULTS | said | {"options": f"{settings} {said.get('options') or ''}".strip()}
        self._driver = psycopg
        where = said.get("host") or said.get("service") or "localhost"
        self.name = f"{where}{':' if said.get('port') else ''}{said.get('port') or ''}/{said.get('dbname') or ''}"

    def connect(self, *, autocommit: bool = False) -> psycopg.Connection[Any]:
        """Raises the driver's errors."""
        connection = self._driver.connect(autocommit=autocommit, **self._words)
        for dumper in _text_dumpers():
            connection.adapters.register_dumper(str, dumper)
        return connection


@cache
def _text_dumpers() -> list[type]:
    """PostgreSQL's text has no NUL, and people's words may: it becomes U+FFFD. No id of ours has that either, so one
    that is asked for with a NUL is simply not there."""
    from psycopg.types import string

    def without_nul(base: Any) -> type:
        return type(base.__name__, (base,), {"dump": lambda self, text: base.dump(self, text.replace("\0", "\ufffd"))})

    return [
        without_nul(each)
        for each in (  # in the driver's order: the last is what it takes for want of a type
            string.StrBinaryDumperVarchar, string.StrBinaryDumper, string.StrDumperVarchar, string.StrDumper,
            string.StrDumperUnknown,
        )
    ]  # fmt: skip


def ours(error: sa.exc.SQLAlchemyError, name: str, *, committing: bool = False) -> StoreError:
    """What happened, in a sentence. Neither the statement's values nor the server's DETAIL, which repeats them, are
    told: they may hold answers."""
    cause = getattr(error, "orig", None)
    if isinstance(error, sa.exc.TimeoutError):
        return StoreAway(f"no connection to the database {name} became free in time")
    state = getattr(cause, "sqlstate", None) or ""
    words = _words(cause or error)
    cut = getattr(error, "connection_invalidated", False)
    unreachable = not state and isinstance(error, sa.exc.OperationalError | sa.exc.InterfaceError)
    if cut or unreachable or state[:2] in _AWAY or state in _AWAY:
        return _away(name, words, committing, cut)
    if state in _TAKEN_BACK:
        return TakenBack(f"the database {name} took a transaction back: {words}")
    if state == _UNIQUE:
        return Doubled(f"nothing was changed in the database {name}: such a row exists ({words})")
    if state in _FULL:
        return StoreFull(f"no room is left for the database {name}; nothing was changed: free some space ({words})")
    sentence = _SENTENCES.get(state, "the database {name} failed: {words}")
    return StoreError(sentence.format(name=name, words=words))


def _away(name: str, words: str, committing: bool, cut: bool) -> StoreError:
    if any(sign in words for sign in _WRONG):
        return StoreError(f"the database {name} cannot be used: {words}")
    if committing:
        return StoreAway(f"the database {name} broke off while it committed; whether it did is not known: {words}")
    if cut:
        return CutOff(f"the database {name} broke off; nothing was changed: {words}")
    return StoreAway(f"the database {name} cannot be reached: {words}")


def _words(cause: BaseException) -> str:
    told = getattr(getattr(cause, "diag", None), "message_primary", None)
    return str(told) if told else " ".join(str(cause).split())[:300]


# By SQLSTATE, or by its class (PostgreSQL's documentation, appendix "PostgreSQL Error Codes").
_AWAY = {"08", "57P01", "57P02", "57P03", "57P05", "53300", "25P03", "25P04", "25006"}
_TAKEN_BACK = {"40001", "40P01", "55P03"}
_UNIQUE = "23505"
_FULL = {"53100", "53200", "53400"}
_SENTENCES = {
    "57014": "the database {name} took too long; nothing was changed: {words}",
    "42501": "the database {name} does not let this user do that: {words}",
    "42P01": "the database {name} lacks a table: run batchrouter db upgrade ({words})",
    "42703": "the database {name} lacks a column: run batchrouter db upgrade ({words})",
}
# A connection that is refused tells its reason in words alone.
_WRONG = ("authentication failed", "does not exist", "no pg_hba.conf entry", "no password supplied", "not permitted")
