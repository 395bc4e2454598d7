"""What a whole database has still to do, over all tenants: for whoever runs the servers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from batchrouter.domain.shard import Lane


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookBacklog:
    """`waiting`: deliveries; `failing`: endpoints with one that was tried and failed; `disabled`: endpoints that were
    disabled by what their receiver said."""

    waiting: int = 0
    failing: int = 0
    disabled: int = 0


NO_WEBHOOKS = WebhookBacklog()


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """`waiting`: lines that no worker has, of batches in progress, by lane, lanes without any included. `batches`:
    those that are not final, by state. `oldest_ms`: when the oldest of them was made; `oldest_waiting_ms`: when the
    oldest was made that has lines waiting. `workers`: leases that have not lapsed. `jobs`: native ones that have not
    ended, by state. `loads`: lines in flight and lines to be tried again, by lane id, as of the workers' last beats."""

    waiting: tuple[tuple[Lane, int], ...] = ()
    batches: Mapping[str, int] = field(default_factory=dict)
    oldest_ms: int | None = None
    oldest_waiting_ms: int | None = None
    workers: int = 0
    jobs: Mapping[str, int] = field(default_factory=dict)
    webhooks: WebhookBacklog = NO_WEBHOOKS
    loads: Mapping[int, tuple[int, int]] = field(default_factory=dict)
