"""Brings a database to the schema of this version, at the start and before anybody else uses it.

A new database gets the tables at once; an older one is migrated by Alembic, which is imported only then (it costs a
tenth of a second and 11 MiB); a newer one is refused. A test shows that both ways end at the same schema.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from batchrouter.adapters.sql.schema import HEAD, OLDEST, VERSIONS, compatibility, metadata
from batchrouter.errors import StoreError

MIGRATIONS = Path(__file__).with_name("migrations")
VERSION_TABLE = sa.Table(
    "alembic_version",
    sa.MetaData(),
    sa.Column("version_num", sa.String(32), nullable=False),
    sa.PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)


def bring_to_head(connection: sa.Connection, name: str) -> None:
    """Raises StoreError for a database that is not ours, or is made by a newer version. `connection` is the writer,
    outside any transaction; an interrupted run changes nothing and is simply run again."""
    with connection.begin():
        version = _version(connection, name)
        if version is None:
            make_tables(connection)
            return
    if version == HEAD:
        return
    if version not in VERSIONS:
        raise StoreError(
            f"the database {name} was made by a newer version of BatchRouter (its schema is {version}, this version "
            f"knows up to {HEAD}): install that version, or use another folder"
        )
    upgrade(connection)


def make_tables(tx: sa.Connection) -> None:
    """In an empty database, inside the caller's transaction."""
    metadata.create_all(tx, checkfirst=False)
    VERSION_TABLE.create(tx)
    tx.execute(VERSION_TABLE.insert().values(version_num=HEAD))
    tx.execute(compatibility.insert().values(oldest=OLDEST))


def upgrade(connection: sa.Connection, target: str = HEAD) -> None:
    """Run the migrations up to `target` in one transaction of `connection`."""
    with connection.begin():
        run_migrations(connection, target)


def run_migrations(tx: sa.Connection, target: str) -> None:
    """Inside the caller's transaction."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = tx
    command.upgrade(config, target)


def _version(connection: sa.Connection, name: str) -> str | None:
    """None: the database is empty."""
    tables = sa.inspect(connection).get_table_names()
    if not tables:
        return None
    if VERSION_TABLE.name not in tables:
        raise StoreError(f"{name} is not a database of BatchRouter: use another folder")
    version: str | None = connection.execute(sa.select(VERSION_TABLE.c.version_num)).scalar()
    if version is None:
        raise StoreError(f"the database {name} does not tell its schema's version: restore it from a copy")
    return version
