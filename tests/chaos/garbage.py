"""What lies in the bucket that no row names. (What a row names and is not there shows in the downloads.)"""

from __future__ import annotations

import asyncio

from batchrouter.adapters.blobs.objects import ObjectBlobs
from batchrouter.adapters.clock import RealClock
from batchrouter.adapters.sql.store import SqlStore
from batchrouter.adapters.threads import Threads
from batchrouter.engine.sweep import ORPHAN_AGE_MS, Sweeper
from tests.chaos.fleet import Fleet
from tests.s3 import BUCKET

LOOKS = 4
"""A look begins anywhere in the bucket and ends at its end; the next one begins at its beginning."""


class LaterClock(RealClock):
    """A day and an hour on: whatever crashes left behind is due."""

    def unix_ms(self) -> int:
        return super().unix_ms() + ORPHAN_AGE_MS + 2 * 3_600_000


async def garbage_of(fleet: Fleet) -> list[str]:
    """Sweeps as a sweeper would tomorrow, then lists the bucket: every object is named by a row."""
    store = SqlStore.open_postgres(fleet.postgres.url())
    blobs = ObjectBlobs.open(f"s3://{BUCKET}/chaos", fleet.s3.options)
    calls = Threads()
    try:
        before = await _keys(blobs)
        sweeper = Sweeper(store.ledger, calls, blobs, LaterClock(), 3_600_000)
        swept = sum([await sweeper.run_once() for _ in range(LOOKS)])
        after = await _keys(blobs)
        known = await calls.read(store.ledger.known, after)
        print(
            f"bucket: {len(before)} objects, {swept} swept, {len(after)} left, {len(set(known))} of them named by rows"
        )
        return [f"no row names {key}, and no sweep takes it" for key in after if key not in known]
    finally:
        blobs.close()
        calls.close()
        store.close()
        await asyncio.sleep(0)


async def _keys(blobs: ObjectBlobs) -> list[str]:
    found: list[str] = []
    for page in blobs._list(blobs._store):
        found += [str(each["path"]) for each in page]
    return found
