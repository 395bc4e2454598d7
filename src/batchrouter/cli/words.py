"""Where words go: results to standard output, everything else to standard error, so that pipes stay clean."""

from __future__ import annotations

import sys

import msgspec

OK, SOME_FAILED, REFUSED, NEEDS_PERSON, INTERRUPTED = 0, 1, 2, 3, 130
"""Exit codes of all commands."""


def tell(text: str) -> None:
    """A result, for people."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def say(text: str) -> None:
    """What happens meanwhile, and what went wrong."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def emit(value: object) -> None:
    """A result, for machines: one line of JSON."""
    tell(msgspec.json.encode(value).decode())


def count(number: int) -> str:
    """1,234"""
    return f"{number:,}"


def short_count(number: float) -> str:
    """1,234 as 1.2k, 5,600,000 as 5.6M"""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.1f}{letter}"
    return f"{number:.0f}"


def seconds(span_s: float) -> str:
    """0.42 s, 7.5 s, 3m05s, 2h07m"""
    if span_s < 1:
        return f"{span_s:.2f} s"
    if span_s < 60:
        return f"{span_s:.1f} s"
    whole = int(span_s)
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def counted(number: int, noun: str) -> str:
    """1 line, 2,000 lines"""
    return f"{count(number)} {noun}" + ("" if number == 1 else "s")


def lines(number: int) -> str:
    return counted(number, "line")
