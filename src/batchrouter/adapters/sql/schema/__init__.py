"""The tables. Times are unix milliseconds, bitmaps little-endian bytes (`domain.bitmap`), JSON is text.

Children of a batch name it by `batch_seq`: a number is a quarter of the text in every index, and sorts by age. What is
asked every second (duties, free shards, lapsed owners, ranges to fold, bytes to release) has a partial index that holds
only the rows still of interest, so that finished work costs nothing.
"""

from __future__ import annotations

from batchrouter.adapters.sql.schema.base import HEAD, OLDEST, VERSIONS, compatibility, installation, metadata
from batchrouter.adapters.sql.schema.batches import batches, events, idempotency
from batchrouter.adapters.sql.schema.files import files, garbage, turns, upload_parts, uploads
from batchrouter.adapters.sql.schema.jobs import jobs
from batchrouter.adapters.sql.schema.lanes import batch_lanes, lanes, samples
from batchrouter.adapters.sql.schema.people import api_keys, requests, tenants
from batchrouter.adapters.sql.schema.webhooks import webhook_deliveries, webhook_endpoints
from batchrouter.adapters.sql.schema.work import ranges, segments, shards
from batchrouter.adapters.sql.schema.workers import demands, loads, workers

__all__ = [
    "HEAD",
    "OLDEST",
    "VERSIONS",
    "api_keys",
    "batch_lanes",
    "batches",
    "compatibility",
    "demands",
    "events",
    "files",
    "garbage",
    "idempotency",
    "installation",
    "jobs",
    "lanes",
    "loads",
    "metadata",
    "ranges",
    "requests",
    "samples",
    "segments",
    "shards",
    "tenants",
    "turns",
    "upload_parts",
    "uploads",
    "webhook_deliveries",
    "webhook_endpoints",
    "workers",
]
