"""Which lane a line goes to: the cheapest that will still make the deadline."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from batchrouter.domain.shard import LaneMode


class Mode(StrEnum):
    """What people may ask for: per provider, per model, in a batch's metadata, and in a line."""

    AUTO = "auto"
    BATCH = "batch"
    REALTIME = "realtime"


_MODES = {mode.value: mode for mode in Mode}


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

    def takes(self, endpoint: str) -> bool:
        """Whether the provider's batch API runs lines of that endpoint."""
        return self.batch and endpoint in self.endpoints


def wish_of(metadata: str | None) -> Mode | None:
    """The wish in a batch's metadata (`mode`): one of the three words, else the person's own business."""
    return _MODES.get(metadata or "")


def choose(
    wish: Mode | None,
    options: LaneOptions,
    *,
    endpoint: str,
    lines: int,
    rest: int,
    left_s: float,
    margin_s: float,
) -> LaneMode:
    """The lane of `lines` lines that are alike in provider, model and wish; None wishes what the configuration does.

    `rest` counts all lines of their batch that are not done, these included; `left_s` is the time to its deadline,
    `margin_s` what overtaking keeps in hand. A job gets the time until it would have to be overtaken: where there is
    none, asking for batch does not help. A wish for real time means the full price; flex is the configuration's choice.
    """
    asked = options.mode if wish is None else wish
    time_s = left_s - rest / max(options.rate, 1e-9) - margin_s
    if options.takes(endpoint) and time_s > 0:
        if asked is Mode.BATCH:
            return LaneMode.BATCH
        worth = options.discount > 0 and lines >= options.min_requests and time_s >= options.min_time_s
        if asked is Mode.AUTO and worth:
            return LaneMode.BATCH
    if options.flex and wish is not Mode.REALTIME and time_s > 0:
        return LaneMode.FLEX
    return LaneMode.REALTIME
