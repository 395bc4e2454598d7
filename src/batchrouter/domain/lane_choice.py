"""Which lane a line goes to: the cheapest that will still make the deadline."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Mode(StrEnum):
    """What people may ask for: per provider, per model, in a batch's metadata, and in a line."""

    AUTO = "auto"
    BATCH = "batch"
    REALTIME = "realtime"


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneOptions:
    """How lines of one provider and model may be run. Times in seconds.

    `mode` is the configuration's wish. `batch`: the provider has a batch API that takes these `endpoints`. `flex`: it
    has a discounted real-time tier, and the configuration wants it. `discount` is the part of the price that the batch
    API saves (0.5); `min_requests` the number of lines below which a job is not worth its wait; `min_time_s` how long a
    job must at least be given. `rate` is how many lines a second the real-time lane takes, as far as is known.
    """

    mode: Mode = Mode.AUTO
    batch: bool = False
    flex: bool = False
    endpoints: tuple[str, ...] = ()
    discount: float = 0.5
    min_requests: int = 100
    min_time_s: float = 3600.0
    rate: float = 3.0
