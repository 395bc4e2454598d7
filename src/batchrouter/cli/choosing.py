"""`--where NAME=VALUE`: which lines of a batch are meant, and `--set NAME=VALUE`: what is changed in them."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from batchrouter.errors import InputError

NAMES = ("outcome", "finish_reason", "code", "custom_id", "text")
FAILED = ("failed", "expired", "cancelled")


def chosen(where: Sequence[str]) -> dict[str, list[str]]:
    """The values of each name, those of a repeated one together. Raises `InputError`."""
    found: dict[str, list[str]] = {}
    for told in where:
        name, equals, value = told.partition("=")
        name = name.strip()
        if not equals or not value:
            raise InputError(f"--where takes name=value, such as finish_reason=length, not '{told}'")
        if name not in NAMES:
            near = difflib.get_close_matches(name, NAMES, 1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            raise InputError(f"--where knows {', '.join(NAMES)}, not '{name}'{hint}")
        values = [value] if name in ("custom_id", "text") else [part.strip() for part in value.split(",")]
        found.setdefault(name, []).extend(values)
    if len(found.get("text", ())) > 1:
        raise InputError("--where text= may be given once")
    return found


def pairs(told: Sequence[str], option: str) -> dict[str, str]:
    """`name=value`, each. Raises `InputError`."""
    found: dict[str, str] = {}
    for each in told:
        name, equals, value = each.partition("=")
        if not equals or not name.strip():
            raise InputError(f"{option} takes name=value, not '{each}'")
        found[name.strip()] = value
    return found
