"""What each Claude model accepts, as data. docs/simulator.md, "Claude models", shows the rows to people."""

from __future__ import annotations

import fnmatch
from typing import NamedTuple

EFFORTS = ("low", "medium", "high", "xhigh", "max")


class Facts(NamedTuple):
    """One row. `budget`: thinking of type `enabled`; `efforts`: empty where the model has no such setting."""

    names: tuple[str, ...]
    sampling: bool = True
    always_thinks: bool = False
    forced_tool: bool = True
    adaptive: bool = True
    budget: bool = False
    efforts: tuple[str, ...] = EFFORTS
    structured: bool = True
    prefill: bool = False
    system_turns: bool = False
    max_tokens: int = 128_000
    max_input_tokens: int = 1_000_000


NEWEST = Facts(
    ("claude-sonnet-5-5", "claude-opus-5-5", "claude-fable-5-1", "claude-mythos-5-1"),
    sampling=False,
    always_thinks=True,
    forced_tool=False,
    system_turns=True,
)
"""What a model that is in no row behaves like."""

ROWS = (
    Facts(
        ("claude-haiku-4-5", "claude-sonnet-4-5"),
        adaptive=False,
        budget=True,
        efforts=(),
        prefill=True,
        max_tokens=64_000,
        max_input_tokens=200_000,
    ),
    Facts(
        ("claude-opus-4-5",),
        adaptive=False,
        budget=True,
        efforts=("low", "medium", "high"),
        prefill=True,
        max_tokens=64_000,
        max_input_tokens=200_000,
    ),
    Facts(("claude-opus-4-6", "claude-sonnet-4-6"), budget=True),
    Facts(
        ("claude-opus-4-7", "claude-opus-4-8", "claude-opus-5", "claude-sonnet-5", "claude-haiku-5-5"),
        sampling=False,
    ),
    Facts(("claude-fable-5", "claude-mythos-5", "claude-mythos-preview"), sampling=False, always_thinks=True),
    NEWEST,
    Facts(
        ("claude-3-*", "claude-opus-4-1", "claude-opus-4-0", "claude-sonnet-4-0", "claude-opus-4", "claude-sonnet-4"),
        adaptive=False,
        budget=True,
        efforts=(),
        structured=False,
        prefill=True,
        max_tokens=32_000,
        max_input_tokens=200_000,
    ),
)


def facts_of(model: str) -> Facts:
    """The row of a model, with or without the date at its end; the newest behaviour for a name that is in none."""
    head, _, tail = model.rpartition("-")
    name = head if len(tail) == 8 and tail.isdecimal() else model
    return next((row for row in ROWS if any(fnmatch.fnmatchcase(name, one) for one in row.names)), NEWEST)


def known_models() -> tuple[str, ...]:
    """Every model that has a row of its own."""
    return tuple(name for row in ROWS for name in row.names if "*" not in name)
