"""What a server keeps: the bytes in its data folder and the rows of its database, looked at from outside."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from batchrouter.adapters.blobs.folder import TEMP_MARK
from tests.serving import ServerProcess

UNSTEADY = ("workers", "loads", "lanes", "turns", "demands")
"""Tables that the engine writes whatever people do."""


@contextmanager
def database(server: ServerProcess) -> Iterator[sqlite3.Connection]:
    path = next(server.folder.glob("*.db"), None) or next(server.folder.glob("*.sqlite*"))
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        yield connection


def tables(connection: sqlite3.Connection) -> list[str]:
    named = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    return [name for (name,) in named]


def rows(server: ServerProcess) -> dict[str, int]:
    """How many rows each table has."""
    with database(server) as connection:
        return {
            name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]
            for name in tables(connection)
            if name not in UNSTEADY
        }


def bytes_kept(server: ServerProcess) -> set[str]:
    """Every file of the data folder but the database's own, unfinished writes and scratch space included."""
    return {
        str(path.relative_to(server.folder))
        for path in _walk(server.folder)
        if not path.name.startswith("batchrouter.")
    }


def more_rows(server: ServerProcess, before: dict[str, int]) -> dict[str, int]:
    """How many rows came since, by table; tables without a change are left out."""
    return {name: count - before[name] for name, count in rows(server).items() if count != before[name]}


def nothing_unfinished(server: ServerProcess, within_s: float = 5.0) -> None:
    """Fails unless unfinished writes are soon gone: that a client went away is noticed a moment later."""
    deadline = time.monotonic() + within_s
    while left := [name for name in bytes_kept(server) if TEMP_MARK in name]:
        assert time.monotonic() < deadline, f"left behind: {left}"
        time.sleep(0.02)


def memory_peak_mb(pid: int) -> float:
    """VmHWM: the most memory that the process ever had."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("the kernel does not tell VmHWM")


def _walk(folder: Path) -> Iterator[Path]:
    """`rglob` that does not mind files that go away under it."""
    try:
        entries = list(folder.iterdir())
    except FileNotFoundError:
        return
    for entry in entries:
        if entry.is_dir():
            yield from _walk(entry)
        else:
            yield entry
