"""Reading our compose.yaml as compose would, for what rehearses it and what checks it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

FILE = Path(__file__).resolve().parent.parent / "compose.yaml"

_VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)(?:(:[-?])([^}]*))?\}")


class Unset(Exception):
    """A variable without a default that is not there; the message is what compose would tell."""


def interpolated(text: str, env: Mapping[str, str]) -> str:
    """With the variables filled in, for the forms that stand in our file: `${A:?words}`, `${A:-default}`, `${A}`.

    Raises `Unset`.
    """

    def value(match: re.Match[str]) -> str:
        name, form, words = match.groups()
        if env.get(name):
            return env[name]
        if form == ":-":
            return str(words)
        raise Unset(f"{name} {words or ''}")

    return _VARIABLE.sub(value, text).replace("$$", "$")


def variables(text: str) -> set[str]:
    """Those that the text asks for."""
    return {name for name, _, _ in _VARIABLE.findall(text)}
