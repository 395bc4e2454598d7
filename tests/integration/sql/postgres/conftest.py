from __future__ import annotations

import atexit
from functools import cache
from typing import Any

import psycopg
import pytest

from batchrouter.adapters.sql import SqlStore
from tests.integration.sql.postgres.interloper import Pair
from tests.postgres import clear, fresh_database


@cache
def _stores() -> tuple[str, SqlStore, SqlStore, psycopg.Connection[Any]]:
    """Kept for all tests: their statements are compiled once."""
    url = fresh_database()
    first, other = SqlStore.open_postgres(url), SqlStore.open_postgres(url)
    watcher = psycopg.connect(url, autocommit=True)
    for each in (first, other, watcher):
        atexit.register(each.close)
    return url, first, other, watcher


@pytest.fixture
def pair() -> Pair:
    url, first, other, watcher = _stores()
    clear(url)
    return Pair(first, other, watcher)


@pytest.fixture
def pair_url(pair: Pair) -> str:
    return _stores()[0]
