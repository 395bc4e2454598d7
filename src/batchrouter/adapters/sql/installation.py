"""Which installation a database is: a random id, the same for all processes that use it."""

from __future__ import annotations

import sqlalchemy as sa

from batchrouter.adapters.sql.database import upsert
from batchrouter.adapters.sql.schema import installation
from batchrouter.adapters.sql.verbs import Verbs, param

_MAKE = upsert(installation).on_conflict_do_nothing(index_elements=[installation.c.one])
_LOOK = sa.select(installation.c.id, installation.c.marked_ms)
_MARKED = installation.update().where(installation.c.marked_ms.is_(None)).values(marked_ms=param("now"))


class Installation(Verbs):
    def look(self, new_id: str) -> tuple[str, bool]:
        """The id, and whether the place for bytes was marked with it. `new_id` becomes the id of one that has none."""
        with self._db.write() as tx:
            tx.execute(_MAKE, {"one": 1, "id": new_id})
            row = tx.execute(_LOOK).one()
            return row.id, row.marked_ms is not None

    def marked(self, now_ms: int) -> None:
        """The place for bytes bears the mark from now on. A repeat changes nothing."""
        with self._db.write() as tx:
            tx.execute(_MARKED, {"now": now_ms})
