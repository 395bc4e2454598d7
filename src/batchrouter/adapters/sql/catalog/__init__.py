"""People's side of the store: `ports.catalog.Catalog` on SQL."""

from __future__ import annotations

from batchrouter.adapters.sql.catalog.batches import Batches
from batchrouter.adapters.sql.catalog.files import Files
from batchrouter.adapters.sql.catalog.keys import Keys
from batchrouter.adapters.sql.catalog.quotas import TenantQuotas
from batchrouter.adapters.sql.catalog.uploads import Uploads


class SqlCatalog(Keys, TenantQuotas, Files, Uploads, Batches):
    """Each verb is one transaction. Verbs that only look use the reader and may run beside a verb that writes."""
