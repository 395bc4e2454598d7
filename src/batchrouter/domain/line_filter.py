"""Which lines a person asked for: as much as possible is decided by the record, before any bytes are read."""

from __future__ import annotations

import re
from dataclasses import dataclass

from batchrouter.domain.needle import Needle
from batchrouter.domain.outcome import Finish, Flag, Outcome, Record
from batchrouter.domain.settled_line import CODES, error_code_of, told

UNFINISHED = "unfinished"
INVALID_OUTPUT = "invalid_output"
OUTCOMES = (*(each.name.lower() for each in Outcome), INVALID_OUTPUT, UNFINISHED)
FINISHES = {each.name.lower(): int(each) for each in Finish}
_STATUS = re.compile(r"[1-5][0-9]{2}")


@dataclass(frozen=True, slots=True)
class LineFilter:
    """None: whatever it is. Members are joined by AND, the values of one by OR."""

    outcomes: frozenset[str] | None = None
    finishes: frozenset[int] | None = None
    codes: frozenset[str] | None = None
    custom_id: str | None = None
    """A part of it."""
    custom_ids: frozenset[str] | None = None
    """The whole of it."""
    text: str | None = None
    needle: Needle | None = None

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
        return self.custom_id is None and self.custom_ids is None and self.needle is None and self.codes is None

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
        if self.custom_ids is not None and (custom_id is None or told(custom_id) not in self.custom_ids):
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
