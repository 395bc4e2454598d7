"""Looks at everything that a server would need, where it would need it, and says what is wrong and what to do.

machine    this computer: clocks, limits, disks, the event loop
storage    database, bytes, workers as they are seen there
upstreams  each provider: its key, whether it answers

It never works on anything: a folder may be held by a running server. What it writes, to see whether it can, it deletes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from batchrouter.bootstrap.doctor.finding import Finding, Grade
from batchrouter.bootstrap.doctor.machine import look_at_machine
from batchrouter.bootstrap.doctor.storage import look_at_storage
from batchrouter.bootstrap.doctor.upstreams import look_at_upstreams
from batchrouter.config import Config

__all__ = ["Finding", "Grade", "examine"]


async def examine(
    config: Config, data: Path | None, env: Mapping[str, str], *, offline: bool
) -> AsyncIterator[Finding]:
    """Each finding as it is made. `data`: the folder of the command line; `offline`: no provider is asked."""
    for finding in look_at_machine(config, data, env):
        yield finding
    async for finding in look_at_storage(config, data, env):
        yield finding
    async for finding in look_at_upstreams(config, offline=offline):
        yield finding
