"""The store in memory: the double for tests, held to the same suite as the real ones."""

from __future__ import annotations

from batchrouter.adapters.memory.backlog import MemoryBacklogs
from batchrouter.adapters.memory.batches import Batches
from batchrouter.adapters.memory.duties import Duties
from batchrouter.adapters.memory.files import Files, Uploads
from batchrouter.adapters.memory.folding import Folding, Sweeping
from batchrouter.adapters.memory.jobs import Jobs
from batchrouter.adapters.memory.keys import Keys
from batchrouter.adapters.memory.lanes import Lanes
from batchrouter.adapters.memory.presence import Presence
from batchrouter.adapters.memory.quotas import TenantQuotas
from batchrouter.adapters.memory.results import MemoryResults
from batchrouter.adapters.memory.shards import Shards
from batchrouter.adapters.memory.state import State
from batchrouter.adapters.memory.webhooks import MemoryWebhookCatalog, MemoryWebhookLedger
from batchrouter.ports.backlog import Backlogs
from batchrouter.ports.catalog import Catalog
from batchrouter.ports.jobs import JobLedger
from batchrouter.ports.ledger import Ledger
from batchrouter.ports.results import Results
from batchrouter.ports.webhooks import WebhookCatalog, WebhookLedger


class MemoryCatalog(Keys, TenantQuotas, Files, Uploads, Batches):
    """`ports.catalog.Catalog` over a shared state."""

    __slots__ = ()


class MemoryLedger(Presence, Duties, Shards, Folding, Lanes, Sweeping, Jobs):
    """`ports.ledger.Ledger` and `ports.jobs.JobLedger` over a shared state."""

    __slots__ = ()


class MemoryStore:
    """Both sides of one store. It lives as long as the object: nothing is kept."""

    def __init__(self) -> None:
        self.state = State()
        self.catalog: Catalog = MemoryCatalog(self.state)
        ledger = MemoryLedger(self.state)
        self.ledger: Ledger = ledger
        self.jobs: JobLedger = ledger
        self.backlogs: Backlogs = MemoryBacklogs(self.state)
        self.webhooks: WebhookCatalog = MemoryWebhookCatalog(self.state)
        self.webhook_ledger: WebhookLedger = MemoryWebhookLedger(self.state)
        self.results: Results = MemoryResults(self.state)

    def close(self) -> None:
        """Nothing to close; here because every store has it."""
