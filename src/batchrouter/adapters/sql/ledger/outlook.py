"""What there is to do, in one read: so a worker that polls asks once, and not four times."""

from __future__ import annotations

import sqlalchemy as sa

from batchrouter.adapters.sql.ledger import duties, folding, jobs
from batchrouter.adapters.sql.ledger.shards import waiting_groups
from batchrouter.adapters.sql.schema import batches, shards, tenants
from batchrouter.adapters.sql.schema import jobs as job_rows
from batchrouter.adapters.sql.verbs import Verbs, param
from batchrouter.domain.shard import Outlook

_OUTLOOK = sa.select(
    sa.select(batches.c.seq).where(duties.TO_STEP).exists().label("duties"),
    sa.select(job_rows.c.seq).where(jobs.TO_STEP).exists().label("jobs"),
    folding.TO_FOLD.exists().label("folds"),
)
_QUOTAS = sa.select(tenants.c.id, tenants.c.max_in_flight).where(tenants.c.max_in_flight.is_not(None))

_PAUSED = (
    sa.select(batches.c.id)
    .distinct()
    .join(shards, shards.c.batch_seq == batches.c.seq)
    .where(shards.c.owner == param("worker"), shards.c.open == sa.true(), batches.c.paused_ms.is_not(None))
)


class Outlooks(Verbs):
    def outlook(self, worker: str, now_ms: int, folds_least: int) -> Outlook:
        with self._db.read() as tx:
            row = tx.execute(_OUTLOOK, {"worker": worker, "now": now_ms, "least": folds_least}).one()
            waiting = tuple(waiting_groups(tx))
            quotas = {tenant_id: most for tenant_id, most in tx.execute(_QUOTAS)}
            paused = frozenset(tx.execute(_PAUSED, {"worker": worker}).scalars())
        return Outlook(
            waiting=waiting,
            duties=bool(row.duties),
            jobs=bool(row.jobs),
            folds=bool(row.folds),
            quotas=quotas,
            paused=paused,
        )
