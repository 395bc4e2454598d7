"""One Claude model has many names: `claude-4.5-sonnet`, `claude-sonnet-4.5` and `claude-sonnet-4-5` are the same."""

from __future__ import annotations

import re

_LINES = "opus|sonnet|haiku|fable|mythos"
_VERSION = r"\d{1,2}(?:[.-]\d{1,2}(?!\d))?"
_WHEN = r"(?:[-@](\d{8}|latest))?"
_line_first = re.compile(rf"claude-({_LINES})-({_VERSION}){_WHEN}").fullmatch
_version_first = re.compile(rf"claude-({_VERSION})-({_LINES}){_WHEN}").fullmatch
_TURNED = 4
"""Since this version Anthropic puts the line before the version: `claude-3-7-sonnet`, but `claude-sonnet-4`."""


def claude_name(name: str) -> str:
    """Anthropic's own spelling; a name that is not understood stays as it is."""
    found = _line_first(name)
    if found is not None:
        line, version, when = found.groups()
    else:
        found = _version_first(name)
        if found is None:
            return name
        version, line, when = found.groups()
    version = version.replace(".", "-")
    first, second = (line, version) if int(version.partition("-")[0]) >= _TURNED else (version, line)
    return f"claude-{first}-{second}" + (f"-{when}" if when else "")
