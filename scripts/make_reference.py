#!/usr/bin/env python3
"""Write what the documentation lists anew, from the code: `make reference`.

Two pages are made whole; in others a place between `<!-- made: NAME -->` and `<!-- end of what is made -->`, or the
facts of a table beside which a person's words stay.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts.reference import calls, commands, metrics, settings  # noqa: E402 - found by the line above
from scripts.reference.places import filled  # noqa: E402

MADE: dict[str, Callable[[str], str]] = {
    "docs/reference/api.md": lambda _: calls.page(),
    "docs/reference/cli.md": lambda _: commands.page(),
    "docs/api.md": lambda page: filled(page, {"calls": calls.overview()}),
    "docs/cli.md": lambda page: filled(page, {"commands": commands.overview()}),
    "docs/configuration.md": settings.renewed,
    "docs/observability.md": metrics.renewed,
}
"""What each page is to be, given what it is."""


def made(name: str) -> tuple[str, str]:
    """A page as it is, and as it is to be."""
    path = ROOT / name
    page = path.read_text(encoding="utf-8") if path.exists() else ""
    return page, MADE[name](page)


def main() -> None:
    for name in MADE:
        is_now, to_be = made(name)
        if is_now != to_be:
            (ROOT / name).write_text(to_be, encoding="utf-8")
            print(name)


if __name__ == "__main__":
    main()
