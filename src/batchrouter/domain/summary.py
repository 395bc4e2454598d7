"""What the finished lines of a batch come to: how they ended, how long they took, and how that went on over time.

Built segment by segment, in the order in which they were settled, from records alone: so it never reads an answer, can
go on where it stopped, and its size does not grow with the batch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from math import ceil, log2
from typing import NamedTuple

from batchrouter.domain import bitmap
from batchrouter.domain.outcome import RECORD, Finish, Flag, Outcome

GROUPS_MAX = 64
"""Kinds of failure that are kept apart; what comes after them is counted with the last of its outcome."""
POINTS_MAX = 240
FIRST_INTERVAL_MS = 1_000
STEPS = 4
"""Steps of a spread between a value and its double: what is read from it is at most a fifth too high."""
_LINE, _OUTCOME, _FINISH, _STATUS, _ATTEMPTS, _FLAGS, _LATENCY = 0, 4, 5, 6, 7, 8, 9
_TOKENS_IN, _TOKENS_OUT = 11, 13


class Failure(NamedTuple):
    """Lines that failed alike: one outcome, one status (0: no reply) and one error mark."""

    outcome: int
    status: int
    mark: int


@dataclass(slots=True)
class Group:
    """`line` is the first of them that was settled."""

    line: int
    count: int = 0


class Spread:
    """Whole numbers from 0 on, by size."""

    __slots__ = ("_steps", "count", "most")

    def __init__(self) -> None:
        self._steps: Counter[int] = Counter()
        self.count = 0
        self.most = 0

    def add(self, values: Mapping[int, int]) -> None:
        """`values`: how many there are of each."""
        for value, count in values.items():
            self._steps[_step(value)] += count
            self.count += count
        self.most = max(self.most, max(values, default=0))

    def join(self, other: Spread) -> None:
        self._steps += other._steps
        self.count += other.count
        self.most = max(self.most, other.most)

    def at(self, share: float) -> int | None:
        """What `share` of the values (0 to 1) do not exceed; None where there are none."""
        rank = share * self.count
        for step in sorted(self._steps):
            rank -= self._steps[step]
            if rank <= 0:
                return min(_top(step), self.most)
        return None

    def steps(self) -> list[tuple[int, int]]:
        """Ascending: the largest value of a step, and how many values are in it and in none before."""
        return [(min(_top(step), self.most), self._steps[step]) for step in sorted(self._steps)]


@dataclass(slots=True)
class Point:
    """What was settled within one interval. `done` counts lines that were tried to their end, `failed` those of them
    that failed; what a cancel or the window closed is in no point."""

    done: int = 0
    failed: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    latency: Spread = field(default_factory=Spread)

    def join(self, other: Point) -> None:
        self.done += other.done
        self.failed += other.failed
        self.tokens_in += other.tokens_in
        self.tokens_out += other.tokens_out
        self.latency.join(other.latency)


class Summary:
    """`next_seq`: the segment to go on with. Latency, tokens and attempts are of lines that were sent for this batch:
    neither of gaps nor of answers that were paid for elsewhere."""

    def __init__(self) -> None:
        self.next_seq = 1
        self.lines = 0
        self.finishes: dict[Finish, Group] = {}
        self.failures: dict[Failure, Group] = {}
        self.invalid: Group | None = None
        self.latency = Spread()
        self.tokens_out = Spread()
        self.attempts = 0
        self.retried = 0
        self.interval_ms = FIRST_INTERVAL_MS
        self._points: dict[int, Point] = {}

    def add(self, seq: int, records: bytes, admitted: int, at_ms: int | None) -> None:
        """The records of one segment; without a time they are in no point. Segments come in ascending order; one that
        was added before adds nothing."""
        if seq < self.next_seq:
            return
        self.next_seq = seq + 1
        count = len(records) // RECORD.size
        columns: list[Sequence[int]] = list(zip(*RECORD.iter_unpack(records), strict=True))
        if admitted != bitmap.full(count):
            chosen = [admitted >> at & 1 for at in range(count)]
            columns = [tuple(compress(column, chosen)) for column in columns]
        if not columns or not columns[_LINE]:
            return
        self.lines += len(columns[_LINE])
        self._note_ends(columns)
        failed = columns[_OUTCOME].count(Outcome.FAILED)
        point = Point(columns[_OUTCOME].count(Outcome.SUCCEEDED) + failed, failed)
        self._note_calls(columns, point)
        if at_ms is not None:
            self._note_point(at_ms, point)

    def points(self) -> list[tuple[int, Point]]:
        """By the beginning of their interval (unix milliseconds), ascending; empty intervals are left out."""
        return [(at * self.interval_ms, self._points[at]) for at in sorted(self._points)]

    def _note_ends(self, columns: Sequence[Sequence[int]]) -> None:
        lines, flags = columns[_LINE], columns[_FLAGS]
        succeeded = int(Outcome.SUCCEEDED)
        ends = list(zip(columns[_OUTCOME], columns[_FINISH], columns[_STATUS], flags, strict=True))
        for end, count in Counter(ends).items():
            outcome, finish, status, flag = end
            first = lines[ends.index(end)]
            if outcome == succeeded:
                self.finishes.setdefault(Finish(finish), Group(first)).count += count
                if flag & Flag.INVALID_OUTPUT:
                    self.invalid = self.invalid or Group(first)
                    self.invalid.count += count
                continue
            failure = Failure(outcome, status, flag >> 4)
            if failure not in self.failures and len(self.failures) >= GROUPS_MAX:
                failure = next((known for known in reversed(self.failures) if known.outcome == outcome), failure)
            self.failures.setdefault(failure, Group(first)).count += count

    def _note_calls(self, columns: Sequence[Sequence[int]], point: Point) -> None:
        reused = int(Flag.REUSED)
        sent = [
            attempts > 0 and not flags & reused
            for attempts, flags in zip(columns[_ATTEMPTS], columns[_FLAGS], strict=True)
        ]
        attempts = list(compress(columns[_ATTEMPTS], sent))
        self.attempts += sum(attempts)
        self.retried += len(attempts) - attempts.count(1)
        tokens_out = list(compress(columns[_TOKENS_OUT], sent))
        self.tokens_out.add(Counter(tokens_out))
        point.tokens_in, point.tokens_out = sum(compress(columns[_TOKENS_IN], sent)), sum(tokens_out)
        point.latency.add(Counter(compress(columns[_LATENCY], sent)))
        self.latency.join(point.latency)

    def _note_point(self, at_ms: int, point: Point) -> None:
        at = at_ms // self.interval_ms
        self._points.setdefault(at, Point()).join(point)
        while max(self._points) - min(self._points) >= POINTS_MAX:
            self.interval_ms *= 2
            finer, self._points = self._points, {}
            for at, each in finer.items():
                self._points.setdefault(at // 2, Point()).join(each)


def _step(value: int) -> int:
    return 0 if value <= 0 else ceil(STEPS * log2(value)) + 1


def _top(step: int) -> int:
    """The largest whole number of a step."""
    return 0 if step == 0 else int(2 ** ((step - 1) / STEPS))
