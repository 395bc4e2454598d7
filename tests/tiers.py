"""The tiers of the suite: which folder belongs to which, how long each may take, and how long it took.

A tier's seconds are the setup, call and teardown of its tests, added up over the processes that shared them, so the
run itself is shorter; installing is not counted.
A tier over its budget is printed as such and fails nothing: a slow machine is not a wrong program.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

TESTS = Path(__file__).resolve().parent


@dataclass(slots=True)
class Tier:
    """One line of the closing table: some folders under `tests/` and the seconds they may take together."""

    name: str
    folders: tuple[str, ...]
    budget_s: float
    tests: int = 0
    spent_s: float = field(default=0.0)

    def row(self) -> str:
        mark = "" if self.spent_s <= self.budget_s else "  OVER BUDGET"
        return f"{self.name:<24}{self.tests:>6} tests {self.spent_s:>7.1f} s of {self.budget_s:>4.0f} s{mark}"


def tiers() -> list[Tier]:
    """What fails fastest comes first."""
    return [
        Tier("unit and properties", ("unit",), 150),
        Tier("conformance", ("conformance", "integration", "migration"), 240),
        Tier("acceptance", ("acceptance",), 250),
        Tier("terminal", ("terminal",), 60),
        Tier("browser", ("browser",), 90),
        Tier("crash", ("crash",), 150),
        Tier("chaos", ("chaos",), 120),
    ]


def folder_of(path: Path) -> str:
    """The first folder below `tests/`, '' for a file that stands directly in it."""
    try:
        parts = path.resolve().relative_to(TESTS).parts
    except ValueError:
        return ""
    return parts[0] if len(parts) > 1 else ""
