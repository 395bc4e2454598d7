"""A range's part of a file: each settled line once, in input order, in the file that its outcome names."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from batchrouter.domain.file import SegmentRef
from batchrouter.domain.folding import select
from batchrouter.domain.outcome import Outcome, Record, pack


def record(line: int, outcome: int, offset: int, length: int) -> Record:
    return Record(line, 0, 1, 1, outcome, 0, 200, 1, 0, 1, 1, 0, 0, 0, 0, offset, length)


def segment(seq: int, records: list[Record], admitted: int) -> tuple[SegmentRef, bytes]:
    return SegmentRef(seq=seq, length=0, count=len(records), admitted=admitted), pack(records)


def test_lines_come_in_input_order_from_whichever_segment() -> None:
    first = segment(1, [record(12, 0, 0, 5), record(10, 0, 5, 7)], 0b11)
    second = segment(2, [record(11, 0, 0, 3)], 0b1)
    assert select(10, 3, [first, second], "output") == [(0, 5, 7), (1, 0, 3), (0, 0, 5)]
    assert select(10, 3, [first, second], "error") == []


def test_records_that_did_not_count_and_lines_of_other_ranges_are_passed_over() -> None:
    only = segment(1, [record(1, 0, 0, 5), record(0, 0, 5, 5), record(2, 0, 10, 5)], 0b101)
    assert select(0, 2, [only], "output") == [(0, 0, 5)]


@given(st.permutations(list(range(20))), st.lists(st.sampled_from(list(Outcome)), min_size=20, max_size=20), st.data())
def test_the_two_files_share_the_settled_lines_and_lose_none(
    order: list[int], outcomes: list[Outcome], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, 20))
    stale = data.draw(st.integers(0, 19))  # a line answered twice: its later answer did not count
    records = [record(line, outcomes[line], line * 10, 10) for line in order]
    segments = [
        segment(1, records[:cut], (1 << cut) - 1),
        segment(2, [*records[cut:], record(stale, Outcome.SUCCEEDED, 999, 10)], (1 << (20 - cut)) - 1),
    ]
    output = [piece.offset // 10 for piece in select(0, 20, segments, "output")]
    error = [piece.offset // 10 for piece in select(0, 20, segments, "error")]
    assert output == sorted(output)
    assert error == sorted(error)
    assert sorted(output + error) == list(range(20))
    assert output == [line for line in range(20) if outcomes[line] is Outcome.SUCCEEDED]
