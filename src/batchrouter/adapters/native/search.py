"""A provider's list of jobs, read back in time as far as a job of ours can stand."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any, NamedTuple

from batchrouter.adapters.native.job_object import is_id, time_ms
from batchrouter.errors import NativeUnknown

PAGE = 100
"""Jobs on a page: the most that OpenAI gives."""
PAGES_MAX = 100
SLACK_MS = 15 * 60_000
"""How far the provider's clock may be behind what its replies tell of it, or behind ours where they tell nothing."""


class Page(NamedTuple):
    """`jobs` with the times of their creation, by our clock (None: not told). `next` asks for the page behind it, which
    holds older ones; None where there is none."""

    jobs: Sequence[tuple[dict[str, Any], int | None]]
    next: str | None

    @classmethod
    def of(cls, jobs: Sequence[object], created: str, next: object, ahead_ms: int) -> Page:
        """Of the jobs of a reply, with the name of the member that tells when they were made. `ahead_ms`: how far the
        provider's clock is before ours."""
        known = []
        for job in jobs:
            if isinstance(job, dict) and is_id(job.get("id")):
                created_ms = time_ms(job.get(created))
                known.append((job, None if created_ms is None else created_ms - ahead_ms))
        return cls(known, next if isinstance(next, str) and next else None)


async def newest_first(
    page: Callable[[str | None], Awaitable[Page]], sent_ms: int
) -> AsyncGenerator[tuple[dict[str, Any], int | None], None]:
    """The jobs that were made since `sent_ms`, each with when (None: not told). Raises `NativeUnknown` if they are too
    many to be looked through, or the list leads nowhere: then nobody knows whether there is one."""
    since_ms, after = sent_ms - SLACK_MS, None
    asked: set[str | None] = set()
    while after not in asked and len(asked) < PAGES_MAX:
        asked.add(after)
        found = await page(after)
        older = False
        for job, created_ms in found.jobs:
            if created_ms is None or created_ms >= since_ms:
                yield job, created_ms
            else:
                older = True
        if found.next is None or older:
            return
        after = found.next
    raise NativeUnknown("the provider's list of jobs has no end that can be reached")
