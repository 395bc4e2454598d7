"""The store as one thing to open and close."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from batchrouter.adapters.sql.catalog import SqlCatalog
from batchrouter.adapters.sql.database import Database, open_reader, open_writer, ours
from batchrouter.adapters.sql.ledger import SqlLedger
from batchrouter.adapters.sql.migrate import bring_to_head
from batchrouter.errors import StoreError
from batchrouter.ports.jobs import JobLedger

DATABASE = "batchrouter.db"


class SqlStore:
    """People's side and the engine's side of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.catalog = SqlCatalog(database)
        self.ledger = SqlLedger(database)
        self.jobs: JobLedger = self.ledger

    @classmethod
    def open_sqlite(cls, folder: Path, *, sync: bool = True) -> SqlStore:
        """Open or make the database of a folder, at the schema of this version. The caller holds the folder's lock.

        `sync` false gives up durability against a loss of power, not against the death of the process: only to
        measure what durability costs. Raises StoreError.
        """
        path = folder / DATABASE
        writer = open_writer(path, sync=sync)
        try:
            bring_to_head(writer, str(path))
            reader = open_reader(path)
        except sa.exc.SQLAlchemyError as error:
            writer.close()
            raise ours(error, str(path)) from error
        except StoreError:
            writer.close()
            raise
        return cls(Database(str(path), writer, reader))

    def close(self) -> None:
        """Both sides are unusable afterwards. A repeat changes nothing."""
        self._database.close()
