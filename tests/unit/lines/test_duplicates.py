"""Repeated custom_ids are found in files of any size, and only they."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from batchrouter.domain.duplicates import BUCKETS, MemorySpill
from batchrouter.domain.line_errors import LineFault
from tests.unit.lines.indexing import file_of, index_of, line, open_index, records_of


class WatchedSpill(MemorySpill):
    """Counts what goes through it."""

    def __init__(self) -> None:
        super().__init__()
        self.appends: Counter[int] = Counter()

    def append(self, bucket: int, data: bytes) -> None:
        assert data
        assert 0 <= bucket < BUCKETS
        self.appends[bucket] += len(data)
        super().append(bucket, data)


@given(st.lists(st.sampled_from("abcdefé☃"), max_size=20), st.integers(1, 25))
def test_every_repeat_is_marked_whatever_was_spilled(ids: list[str], memory_lines: int) -> None:
    """The first line with an id stands; each later one is an error, and the totals say how many."""
    spill = WatchedSpill()
    index = index_of([file_of(*(line(custom_id=one) for one in ids))], spill, memory_lines=memory_lines)
    marked = [record.error == LineFault.DUPLICATE_CUSTOM_ID for record in records_of(index)]
    assert marked == [one in ids[:place] for place, one in enumerate(ids)]
    assert open_index(index).totals.errors == sum(marked)
    assert sum(spill.appends.values()) == len(ids) // memory_lines * memory_lines * 24


def test_spilling_changes_no_byte_of_the_index() -> None:
    """In memory or through buckets: one index."""
    data = file_of(*(line(custom_id=str(i % 700)) for i in range(1000)))
    spill = WatchedSpill()
    assert index_of([data], spill, memory_lines=64) == index_of([data])
    assert len(spill.appends) > BUCKETS * 0.8


def test_an_index_without_repeats_carries_no_bitmap() -> None:
    """The usual file pays nothing for the unusual one."""
    sizes = [len(index_of([file_of(line(custom_id="a"), line(custom_id=other))])) for other in "ba"]
    assert sizes[1] - sizes[0] == 1


def test_an_id_that_a_faulty_line_has_is_taken() -> None:
    """The line with the wrong method owns its id; the sound line after it repeats it."""
    records = records_of(index_of([file_of(line(method="GET"), line(), line(custom_id=""), line(custom_id=""))]))
    assert [record.error for record in records] == [
        LineFault.METHOD_NOT_POST,
        LineFault.DUPLICATE_CUSTOM_ID,
        LineFault.CUSTOM_ID_EMPTY,
        LineFault.CUSTOM_ID_EMPTY,
    ]
