"""What the end of a call says of the pace at which calls are sent."""

from __future__ import annotations

from enum import IntEnum


class Verdict(IntEnum):
    """How a call ended, as far as the pace is concerned."""

    SUCCESS = 0
    """The upstream did the work; its latency is a sample."""
    IGNORED = 1
    """No useful sample: a fault of the line, an error of the upstream, a cancelled call."""
    DROPPED = 2
    """The upstream had no room: 429, 503, 529, refused connection, no reply in time."""
