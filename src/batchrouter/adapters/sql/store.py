"""The store as one thing to open and close."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import sqlalchemy as sa

from batchrouter.adapters.sql import sqlite
from batchrouter.adapters.sql.backlog import SqlBacklogs
from batchrouter.adapters.sql.catalog import SqlCatalog
from batchrouter.adapters.sql.catalog.webhooks import SqlWebhookCatalog
from batchrouter.adapters.sql.database import Database
from batchrouter.adapters.sql.installation import Installation
from batchrouter.adapters.sql.ledger import SqlLedger
from batchrouter.adapters.sql.ledger.webhooks import SqlWebhookLedger
from batchrouter.adapters.sql.migrate import bring_to_head
from batchrouter.adapters.sql.postgres import PostgresDatabase
from batchrouter.adapters.sql.results import SqlResults
from batchrouter.adapters.sql.rolling import admit
from batchrouter.errors import StoreError
from batchrouter.ports.backlog import Backlogs
from batchrouter.ports.jobs import JobLedger
from batchrouter.ports.results import Results
from batchrouter.ports.webhooks import WebhookCatalog, WebhookLedger

DATABASE = "batchrouter.db"


class SqlStore:
    """People's side and the engine's side of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.catalog = SqlCatalog(database)
        self.ledger = SqlLedger(database)
        self.jobs: JobLedger = self.ledger
        self.backlogs: Backlogs = SqlBacklogs(database)
        self.webhooks: WebhookCatalog = SqlWebhookCatalog(database)
        self.webhook_ledger: WebhookLedger = SqlWebhookLedger(database)
        self.results: Results = SqlResults(database)
        self.installation = Installation(database)

    @classmethod
    def open_sqlite(cls, folder: Path, *, sync: bool = True) -> Self:
        """Open or make the database of a folder, at the schema of this version. The caller holds the folder's lock.

        `sync` false gives up durability against a loss of power, not against the death of the process: only to
        measure what durability costs. Raises StoreError.
        """
        path = folder / DATABASE
        writer = sqlite.open_writer(path, sync=sync)
        try:
            bring_to_head(writer, str(path))
            reader = sqlite.open_reader(path)
        except sa.exc.SQLAlchemyError as error:
            writer.close()
            raise sqlite.ours(error, str(path)) from error
        except StoreError:
            writer.close()
            raise
        return cls(sqlite.SqliteDatabase(str(path), writer, reader))

    @classmethod
    def open_postgres(cls, url: str, *, make: bool = False) -> Self:
        """Open a database that others use too, if its schema is one that this version can work with.

        `make`: an empty database gets its tables; any number of processes may try at once. Raises ConfigError for a
        URL that is none or a driver that is missing, StoreAway while it cannot be reached, StoreError for a database
        that is not ours, or whose schema is too old or too new.
        """
        database = PostgresDatabase(url)
        try:
            admit(database, make=make)
        except BaseException:
            database.close()
            raise
        return cls(database)

    def now_ms(self) -> int:
        """The database's own time in unix milliseconds. One round trip. Raises StoreError."""
        return self._database.now_ms()

    def close(self) -> None:
        """Both sides are unusable afterwards. A repeat changes nothing."""
        self._database.close()
