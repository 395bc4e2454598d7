"""Which lines a person asks for in the query of a URL."""

from __future__ import annotations

from collections.abc import Mapping

from batchrouter.domain.line_filter import FINISHES, OUTCOMES, LineFilter
from batchrouter.domain.needle import Needle
from batchrouter.errors import ApiError
from batchrouter.service import asked

TEXT_CHARS = 1_000
CODES_MAX = 20


def asked_filter(query: Mapping[str, str]) -> LineFilter:
    """Empty values count as absent."""
    outcomes = _choices(query, "outcome", OUTCOMES)
    finishes = _choices(query, "finish_reason", tuple(FINISHES))
    codes = frozenset(filter(None, query.get("code", "").split(",")))
    if len(codes) > CODES_MAX:
        raise ApiError(400, f"At most {CODES_MAX} codes can be asked for at a time.", param="code")
    text = _text(query, "text")
    return LineFilter(
        outcomes,
        None if finishes is None else frozenset(FINISHES[each] for each in finishes),
        codes or None,
        _text(query, "custom_id"),
        text=text,
        needle=None if text is None else Needle(text),
    )


def _choices(query: Mapping[str, str], name: str, supported: tuple[str, ...]) -> frozenset[str] | None:
    values = list(filter(None, query.get(name, "").split(",")))
    return frozenset(asked.one_of(value, supported, name) for value in values) or None


def _text(query: Mapping[str, str], name: str) -> str | None:
    value = query.get(name)
    if value is not None and len(value) > TEXT_CHARS:
        raise ApiError(
            400,
            f"Invalid '{name}': string too long. Expected a string with maximum length {TEXT_CHARS}, "
            f"but got a string with length {len(value)} instead.",
            param=name,
            code="string_above_max_length",
        )
    return value or None
