"""What the dialects do alike at the end of a job."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace

from batchrouter.domain.job import JobPhase, Seen
from batchrouter.errors import NativeError, NativeRefused

log = logging.getLogger(__name__)

_ON_THE_WAY = frozenset({408, 409, 425, 499})


async def cancelled(ask: Callable[[], Awaitable[Seen]], look: Callable[[], Awaitable[Seen]]) -> Seen:
    """The job after `ask` asked for its end: cancelling, also where the provider has no word for that (Together). A
    refusal because it has ended already is none to tell of."""
    try:
        seen = await ask()
        return replace(seen, phase=JobPhase.CANCELLING) if seen.phase is JobPhase.RUNNING else seen
    except NativeRefused as refused:
        if refused.status not in (400, 409):
            raise
        seen = await look()
        if seen.phase is JobPhase.RUNNING:
            raise
        return seen


def certain(refused: NativeRefused) -> bool:
    """Whether a refused creation made no job for sure. A fault on the way (a proxy's 502, a timeout) may stand before a
    job that was made all the same, and needs its file."""
    return 400 <= refused.status < 500 and refused.status not in _ON_THE_WAY


async def deleted(call: Awaitable[object]) -> None:
    """Wait for a deletion; what cannot be deleted stays until its provider's own term for it."""
    try:
        await call
    except NativeError as error:
        log.info("something of a job stays at its provider: %s", error)
