"""Every implementation of a port, under one fixture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from batchrouter.adapters.memory import MemoryStore
from batchrouter.adapters.sql import SqlStore
from tests.conformance.scene import Scene, Store


def open_store(kind: str, folder: Path) -> Store:
    if kind == "memory":
        return MemoryStore()
    return SqlStore.open_sqlite(folder, sync=False)


STORES = ("memory", "sqlite")


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    opened = open_store(request.param, tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def scene(store: Store) -> Scene:
    return Scene(store)
