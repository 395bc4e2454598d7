"""What was found of one thing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Grade(StrEnum):
    OK = "ok"
    WARNING = "warning"
    """It runs, and something will not be as it could be."""
    FAULT = "fault"
    """It does not run, or not for long."""


@dataclass(frozen=True, slots=True)
class Finding:
    """`says` and `todo` are sentences for people, without a key or a password; `todo` None: there is nothing to do."""

    what: str
    grade: Grade
    says: str
    todo: str | None = None


def ok(what: str, says: str) -> Finding:
    return Finding(what, Grade.OK, says)


def warning(what: str, says: str, todo: str) -> Finding:
    return Finding(what, Grade.WARNING, says, todo)


def fault(what: str, says: str, todo: str) -> Finding:
    return Finding(what, Grade.FAULT, says, todo)


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.1f} s"
