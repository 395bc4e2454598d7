"""Least and most of each number, both allowed. The most is what no sane installation reaches, not advice."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping

import msgspec

from batchrouter.errors import ConfigError

_MANY = 1_000_000_000
_TIB = 1 << 40
_DAY_S = 86_400.0
_MONTH_S = 31 * _DAY_S

SERVER = {
    "port": (0, 65_535),
    "shutdown_grace_s": (0.0, _DAY_S),
    "worker_port": (0, 65_535),
    "lease": (5.0, 3_600.0),  # a worker must be late by more than its own beat of a second before it is thought dead
}
STORAGE = {"spill_bytes": (0, _TIB)}
PROVIDER = {
    "max_in_flight": (1, 1_000_000),
    "start_in_flight": (1, 1_000_000),
    "fixed_in_flight": (1, 1_000_000),
    "total_in_flight": (1, 1_000_000),
    "rpm": (1, _MANY),
    "tpm": (1, 1000 * _MANY),
    "timeout": (0.001, _DAY_S),
    "connect_timeout": (0.001, _DAY_S),
    "max_tokens": (1, _MANY),
}
KEY = {"rpm": (1, _MANY), "tpm": (1, 1000 * _MANY)}
NATIVE = {
    "min_requests": (1, _MANY),
    "min_time": (0.0, _MONTH_S),
    "max_requests": (1, _MANY),
    "max_bytes": (1024, _TIB),
    "enqueued_tokens": (1, 1_000_000 * _MANY),
    "window": (1.0, _MONTH_S),
    "discount": (0.0, 1.0),
    "poll_min": (0.01, _DAY_S),
    "poll_max": (0.01, _DAY_S),
}
PRICE = {
    "input": (0.0, 1e6),
    "output": (0.0, 1e6),
    "cached": (0.0, 1e6),
    "written": (0.0, 1e6),
    "batch_discount": (0.0, 1.0),
}
BATCHES = {
    "max_cost": (0.0, 1e6),
    "overtake_margin": (0.0, _MONTH_S),
    "cancel_wait": (0.0, _DAY_S),
    "pause_after_failures": (0, _MANY),
    "max_lines": (1, _MANY),
    "max_bytes": (1, _TIB),
    "max_embedding_inputs": (1, _MANY),
    "max_lanes": (1, 4096),
    "max_line_bytes": (1, 1 << 30),
    "max_reply_bytes": (1, 1 << 30),
    "max_attempts": (1, 1000),
    "memory_bytes": (1 << 20, _TIB),
}


def check_bounds(section: msgspec.Struct, where: str, bounds: Mapping[str, tuple[float, float]]) -> None:
    for field, (least, most) in bounds.items():
        value = getattr(section, field)
        if value is not None and not (math.isfinite(value) and least <= value <= most):
            raise ConfigError(f"{where}.{field} is {value}; it must be between {least:,} and {most:,}")


def near(word: str, words: Mapping[str, object]) -> str:
    """The end of a sentence about a word that is none of `words`."""
    close = difflib.get_close_matches(word, list(words), n=1)
    return f"; did you mean '{close[0]}'?" if close else f"; known are {', '.join(sorted(words))}" if words else ""
