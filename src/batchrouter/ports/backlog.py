"""One look at all that a database has still to do."""

from __future__ import annotations

from typing import Protocol

from batchrouter.domain.backlog import Backlog


class Backlogs(Protocol):
    def backlog(self, now_ms: int) -> Backlog:
        """As of one moment. A read like those of `ports.ledger`: it may block, costs a few index scans, and holds up
        nobody."""
        ...
