"""The engine's side of the store: `ports.ledger.Ledger` and `ports.jobs.JobLedger` on SQL."""

from __future__ import annotations

from batchrouter.adapters.sql.ledger.duties import Duties
from batchrouter.adapters.sql.ledger.folding import Folding
from batchrouter.adapters.sql.ledger.jobs import Jobs
from batchrouter.adapters.sql.ledger.lanes import Lanes
from batchrouter.adapters.sql.ledger.outlook import Outlooks
from batchrouter.adapters.sql.ledger.presence import Presence
from batchrouter.adapters.sql.ledger.settle import Settling
from batchrouter.adapters.sql.ledger.shards import Shards
from batchrouter.adapters.sql.ledger.sweep import Sweeping


class SqlLedger(Presence, Outlooks, Duties, Shards, Settling, Folding, Lanes, Sweeping, Jobs):
    """Each verb is one transaction. `ranges`, `waiting`, `outlook`, `segments`, `lanes`, `known`, `job_shards`,
    `enqueued` and `jobs` use the reader and may run beside a verb that writes."""
