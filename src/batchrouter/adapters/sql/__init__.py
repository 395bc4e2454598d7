"""The store on SQL: SQLAlchemy Core, synchronous, one verb = one transaction."""

from batchrouter.adapters.sql.store import SqlStore

__all__ = ["SqlStore"]
