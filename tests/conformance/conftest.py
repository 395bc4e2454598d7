"""Every implementation of a port, under one fixture."""

from __future__ import annotations

import atexit
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from batchrouter.adapters.memory import MemoryStore
from batchrouter.adapters.sql import SqlStore
from tests.conformance.scene import Scene, Store
from tests.postgres import clear, fresh_database

STORES = ("memory", "sqlite", "postgres")


def open_store(kind: str, folder: Path) -> Store:
    """An empty one. That on PostgreSQL is the same each time, emptied: its statements are compiled once."""
    if kind == "memory":
        return MemoryStore()
    if kind == "sqlite":
        return SqlStore.open_sqlite(folder, sync=False)
    store, url = _on_postgres()
    clear(url)
    return store


class KeptStore(SqlStore):
    """For the next test."""

    def close(self) -> None:
        pass


@cache
def _on_postgres() -> tuple[KeptStore, str]:
    url = fresh_database()
    store = KeptStore.open_postgres(url)
    atexit.register(SqlStore.close, store)
    return store, url


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    opened = open_store(request.param, tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def scene(store: Store) -> Scene:
    return Scene(store)
