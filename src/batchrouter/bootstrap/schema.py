"""The schema of what the configuration names, looked at and brought up to date, without running anything on it."""

from __future__ import annotations

from pathlib import Path

from batchrouter.adapters.folder import DataFolder
from batchrouter.adapters.sql.postgres import PostgresDatabase
from batchrouter.adapters.sql.rolling import Schema, schema_of, schema_of_file, upgrade_postgres
from batchrouter.adapters.sql.schema import HEAD
from batchrouter.adapters.sql.store import DATABASE, SqlStore
from batchrouter.config import StorageConfig, is_shared, shown

__all__ = ["HEAD", "Schema", "schema_in", "upgrade"]


def schema_in(storage: StorageConfig, folder: Path) -> tuple[str, Schema]:
    """Its name for people, and what it is. Raises `StoreError`."""
    if not is_shared(storage):
        path = folder / DATABASE
        return str(path), schema_of_file(path)
    database = PostgresDatabase(storage.database)
    try:
        return shown(storage.database), schema_of(database)
    finally:
        database.close()


def upgrade(storage: StorageConfig, folder: Path) -> tuple[str, Schema, Schema]:
    """Its name, what it was and what it is now. A folder's is upgraded as any start does it. Raises `FolderError` for
    a folder that a server holds, `StoreError`."""
    if not is_shared(storage):
        held = DataFolder.open(folder)
        try:
            name, before = schema_in(storage, folder)
            SqlStore.open_sqlite(folder).close()
            return name, before, schema_in(storage, folder)[1]
        finally:
            held.close()
    database = PostgresDatabase(storage.database)
    try:
        before, after = upgrade_postgres(database)
    finally:
        database.close()
    return shown(storage.database), before, after
