"""What a person wants of a batch that is run again: which of its lines, and with what in their bodies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from batchrouter.domain.line_filter import FINISHES, LineFilter
from batchrouter.domain.needle import Needle

UNANSWERED = frozenset({"failed", "expired", "cancelled"})


@dataclass(frozen=True, slots=True)
class RetryWish:
    """`again`: lines that are sent once more; all others keep what they have. `changes` as in `domain.body_change`."""

    again: LineFilter = field(default_factory=lambda: LineFilter(outcomes=UNANSWERED))
    changes: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def of(cls, data: Mapping[str, Any] | None) -> RetryWish:
        """From `{"where": …, "set": …}` as it is stored, which was checked before. Without a condition it is every line
        that has no answer."""
        data = data or {}
        where = {name: value for name, value in data.get("where", {}).items() if value}
        changes = changes_of(data)
        if not where:
            return cls(changes=changes)
        text, finishes = where.get("text"), where.get("finish_reason")
        again = LineFilter(
            outcomes=_set(where.get("outcome")),
            finishes=None if finishes is None else frozenset(FINISHES[each] for each in finishes),
            codes=_set(where.get("code")),
            custom_ids=_set(where.get("custom_id")),
            text=text,
            needle=None if text is None else Needle(text),
        )
        return cls(again, changes)


def changes_of(retry: Mapping[str, Any] | None) -> Mapping[str, object]:
    """What a retry changes in the bodies that it sends; empty for what is no retry."""
    return {} if retry is None else retry.get("set", {})


def _set(values: Iterable[str] | None) -> frozenset[str] | None:
    return None if values is None else frozenset(values)
