"""Lengths of time as people write them."""

from __future__ import annotations

import re

from batchrouter.errors import ConfigError

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class Seconds(float):
    """A setting that is a length of time: a number of seconds, or `90s`, `15m`, `24h`, `7d`."""


def window_seconds(window: str) -> int:
    """Seconds of `10s`, `15m`, `24h` or `7d`."""
    match = re.fullmatch(r"([1-9][0-9]{0,5})([smhd])", window)
    if match is None:
        raise ConfigError(f"completion window '{window}' must be a number and s, m, h or d, such as 24h")
    return int(match[1]) * _UNITS_S[match[2]]


def seconds_of(value: object) -> Seconds:
    """Raises ValueError for what is no length of time."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Seconds(value)
    if isinstance(value, str):
        try:
            return Seconds(window_seconds(value))
        except ConfigError:
            pass
    raise ValueError("Expected a number of seconds, or a number and s, m, h or d, such as 15m")
