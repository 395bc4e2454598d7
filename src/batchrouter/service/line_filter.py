"""Which lines a person asked for: as much as possible is decided by the record, before any bytes are read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from batchrouter.domain.needle import Needle
from batchrouter.domain.outcome import Finish, Flag, Outcome, Record
from batchrouter.domain.settled_line import CODES, error_code_of, told
from batchrouter.errors import ApiError
from batchrouter.service import asked

UNFINISHED = "unfinished"
INVALID_OUTPUT = "invalid_output"
OUTCOMES = (*(each.name.lower() for each in Outcome), INVALID_OUTPUT, UNFINISHED)
FINISHES = {each.name.lower(): int(each) for each in Finish}
TEXT_CHARS = 1_000
CODES_MAX = 20
_STATUS = re.compile(r"[1-5][0-9]{2}")


@dataclass(frozen=True, slots=True)
class LineFilter:
    """None: whatever it is. Members are joined by AND, the values of one by OR."""

    outcomes: frozenset[str] | None = None
    finishes: frozenset[int] | None = None
    codes: frozenset[str] | None = None
    custom_id: str | None = None
    text: str | None = None
    needle: Needle | None = None

    @classmethod
    def asked(cls, query: Mapping[str, str]) -> LineFilter:
        """From the query of a URL; empty values count as absent."""
        outcomes = _choices(query, "outcome", OUTCOMES)
        finishes = _choices(query, "finish_reason", tuple(FINISHES))
        codes = frozenset(filter(None, query.get("code", "").split(",")))
        if len(codes) > CODES_MAX:
            raise ApiError(400, f"At most {CODES_MAX} codes can be asked for at a time.", param="code")
        text = _text(query, "text")
        return cls(
            outcomes,
            None if finishes is None else frozenset(FINISHES[each] for each in finishes),
            codes or None,
            _text(query, "custom_id"),
            text,
            None if text is None else Needle(text),
        )

    @property
    def wants_unfinished(self) -> bool:
        """Lines without an end, which have neither a finish nor a code."""
        return (
            self.outcomes is not None
            and UNFINISHED in self.outcomes
            and self.codes is None
            and (self.finishes is None or int(Finish.NONE) in self.finishes)
        )

    @property
    def wants_finished(self) -> bool:
        return self.outcomes is None or self.outcomes != {UNFINISHED}

    @property
    def reads_requests(self) -> bool:
        return self.needle is not None

    @property
    def by_record(self) -> bool:
        """Whether the records alone decide."""
        return self.custom_id is None and self.needle is None and self.codes is None

    def may_take(self, record: Record) -> bool:
        """False where the record alone says no."""
        if self.outcomes is not None and _word(record) not in self.outcomes:
            invalid = record.flags & Flag.INVALID_OUTPUT and record.outcome == Outcome.SUCCEEDED
            if not (invalid and INVALID_OUTPUT in self.outcomes):
                return False
        if self.finishes is not None and record.finish not in self.finishes:
            return False
        return self.codes is None or self._code_may_be(record, self.codes)

    def takes(self, record: Record | None, line: bytes | None, request: bytes | None, custom_id: bytes | None) -> bool:
        """By the bytes, after `may_take`. `record` None: a line without an end. `line` None: it has none, or they are
        gone."""
        if self.custom_id is not None and (custom_id is None or self.custom_id not in told(custom_id)):
            return False
        if self.codes is not None and not self._code_is(record, line, self.codes):
            return False
        if self.needle is None:
            return True
        if line is not None and self.needle.is_in(line, "response", "error"):
            return True
        return request is not None and self.needle.is_in(request, "body")

    def _code_may_be(self, record: Record, codes: frozenset[str]) -> bool:
        if str(record.status) in codes:
            return True
        known = CODES.get(record.outcome)
        if known is not None:
            return known in codes
        return record.outcome == Outcome.FAILED and not all(map(_STATUS.fullmatch, codes))

    def _code_is(self, record: Record | None, line: bytes | None, codes: frozenset[str]) -> bool:
        if record is None:
            return False
        if str(record.status) in codes or CODES.get(record.outcome) in codes:
            return True
        return line is not None and record.outcome == Outcome.FAILED and error_code_of(line) in codes


EVERY = LineFilter()


def _word(record: Record) -> str:
    return WORDS[record.outcome]


WORDS = {int(each): each.name.lower() for each in Outcome}


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
