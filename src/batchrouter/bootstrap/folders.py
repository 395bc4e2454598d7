"""A data folder, or the keys of a database, looked at without running anything on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from batchrouter.adapters.clock import RealChance, RealClock
from batchrouter.adapters.database_clock import DatabaseClock
from batchrouter.adapters.folder import DataFolder
from batchrouter.adapters.sql.store import SqlStore
from batchrouter.adapters.threads import Threads
from batchrouter.bootstrap.local import read_server, scratch_in
from batchrouter.config import StorageConfig
from batchrouter.service.keys import Keys

__all__ = ["holding", "keys_in", "keys_of", "read_server", "scratch_in"]


@asynccontextmanager
async def keys_of(folder: Path) -> AsyncIterator[Keys]:
    """The keys of a folder that no server holds. Raises `FolderError` when one does."""
    held = DataFolder.open(folder)
    try:
        store = SqlStore.open_sqlite(folder)
        calls = Threads()
        try:
            yield Keys(store.catalog, calls, RealClock(), RealChance())
        finally:
            calls.close()
            store.close()
    finally:
        held.close()


@asynccontextmanager
async def keys_in(config: StorageConfig) -> AsyncIterator[Keys]:
    """The keys of a database on PostgreSQL, whoever else works on it. Raises `StoreError`."""
    store = SqlStore.open_postgres(config.database)
    calls = Threads()
    clock = DatabaseClock(store.now_ms, RealClock())
    clock.sync()
    try:
        yield Keys(store.catalog, calls, clock, RealChance())
    finally:
        calls.close()
        store.close()


@contextmanager
def holding(folder: Path) -> Iterator[None]:
    """The folder's lock, for as long as the block runs. Raises `FolderError`."""
    held = DataFolder.open(folder)
    try:
        yield
    finally:
        held.close()
