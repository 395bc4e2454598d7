"""Shards that are this worker's and that it knows nothing of: a claim was carried out, and its answer was lost.

Nobody would send them before the worker's lease ends, which it does not while the worker lives. So after a claim in
doubt the store is asked what is ours, and what nobody here knows of is given back.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from batchrouter.ports.calls import Calls
from batchrouter.ports.ledger import Ledger

log = logging.getLogger(__name__)


class Strays:
    """`knows` are asked whether a shard of a batch is known: (shard, batch)."""

    def __init__(self, ledger: Ledger, calls: Calls, worker: str) -> None:
        self._ledger = ledger
        self._calls = calls
        self._worker = worker
        self._in_doubt = False
        self.knows: list[Callable[[int, str], bool]] = []

    def doubt(self) -> None:
        """A claim failed; it may have been carried out."""
        self._in_doubt = True

    async def give_back(self) -> None:
        """Only after a doubt; until it has worked. To be called by whoever claims, between two claims."""
        if not self._in_doubt:
            return
        # Asked where writes are, so that every claim before it has been heard of by the time of the answer.
        held = await self._calls.write(self._ledger.held, self._worker)
        strays = [
            (claim.shard_id, claim.epoch)
            for claim in held
            if not any(knows(claim.shard_id, claim.batch_id) for knows in self.knows)
        ]
        if strays:
            await self._calls.write(self._ledger.release, self._worker, strays)
            log.info("%d shards of a claim whose answer was lost are free again", len(strays))
        self._in_doubt = False
