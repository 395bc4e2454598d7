"""The engine's numbers, each with its unit in its name."""

from __future__ import annotations

from dataclasses import dataclass, field

from batchrouter.domain.retry import RetrySettings
from batchrouter.domain.validation import BatchLimits

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """`alone`: the folder lock proves that no other worker lives.

    `overtake_margin_s`: how long before real time must begin a native job is cancelled at the latest;
    `cancel_wait_s`: how long a closing batch waits for the finished lines of its jobs; `lost_create_s`: how long the
    provider's list must have shown nothing before a job that may have been made is made again; `pause_after_failures`:
    when so many first lines of a batch in a lane failed the same way, and none did not, the rest waits (0: never);
    `check_outputs`: whether answers are judged by the schema that their request asks for.

    `flush_s` and `flush_bytes` bound a segment; one of at most `inline_bytes` lives in its database row. `budget_bytes`
    bounds requests, replies and unflushed lines together.
    """

    alone: bool = True
    lease_ms: int = 30_000
    poll_s: float = 1.0
    flush_s: float = 0.1
    flush_bytes: int = MIB
    inline_bytes: int = 32 * 1024
    budget_bytes: int = 48 * MIB
    close_grace_s: float = 1.0
    output_expires_s: int = 30 * 86_400
    linger_ms: int = 3_600_000
    sweep_every_s: float = 60.0
    limits: BatchLimits = field(default_factory=BatchLimits)
    retry: RetrySettings = field(default_factory=RetrySettings)
    overtake_margin_s: float = 900.0
    cancel_wait_s: float = 900.0
    lost_create_s: float = 180.0
    pause_after_failures: int = 100
    check_outputs: bool = True
