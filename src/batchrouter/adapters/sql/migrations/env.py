"""Alembic runs this for every command. The connection comes from `adapters.sql.migrate`, inside its transaction."""

from __future__ import annotations

from alembic import context

from batchrouter.adapters.sql.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite alters a table by making it anew
    transactional_ddl=True,
)
context.run_migrations()
