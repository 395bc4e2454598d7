"""Calls of tools and their results: Anthropic wants each id once, and every call answered in the next turn."""

from __future__ import annotations

from typing import NamedTuple

from batchrouter.providers.anthropic.draft import Fitted, refuse


class _Open(NamedTuple):
    made: str
    where: str


class Calls:
    """Those of one request. What has no partner is refused here, for Anthropic would refuse it."""

    def __init__(self, ids: Fitted) -> None:
        self._ids = ids
        self._open: dict[tuple[str, str], _Open] = {}

    def call(self, kind: str, name: str, wanted: str, where: str) -> str:
        """The id that is sent. `name` is what the result names it by: the call's id, or its function. A name that has
        been answered may come again, as hosts write it that count the calls of each answer from nought."""
        if (kind, name) in self._open:
            refuse(f"'{where}' is called by the same name as a call before it in its turn.", where)
        made = self._ids.another(wanted)
        self._open[kind, name] = _Open(made, where)
        return made

    def result(self, kind: str, name: str, where: str) -> str:
        """The id of the call that is answered."""
        found = self._open.pop((kind, name), None)
        if found is None:
            refuse(f"'{where}' answers no call of the turn before it, or one that is answered already.", where)
        return found.made

    def close(self) -> None:
        """No more results can come for the calls so far: the assistant speaks again, or nobody does."""
        for each in self._open.values():
            refuse(f"'{each.where}' has no result in the turn behind it.", each.where)
