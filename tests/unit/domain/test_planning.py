"""The planner loses no line and doubles none."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from batchrouter.domain import bitmap
from batchrouter.domain.planning import NO_GROUP, Planner
from batchrouter.domain.shard import LaneKey

LANES = [LaneKey("p", "a"), LaneKey("p", "b"), LaneKey("q", "a"), LaneKey("p", "a")]


@given(st.lists(st.tuples(st.integers(1, 300), st.integers(NO_GROUP, len(LANES) - 1)), max_size=120), st.integers(1, 9))
def test_every_line_is_in_one_range_and_in_one_shard_of_its_lane(lines: list[tuple[int, int]], slice_size: int) -> None:
    """However the lines are fed: ranges follow each other without a gap and within their bounds, and the shards'
    members are exactly the lines of their lanes, one shard for a range and lane though two groups go to it."""
    planner = Planner("batch_x", range_lines=7, range_bytes=500)
    for start in range(0, len(lines), slice_size):
        some = lines[start : start + slice_size]
        planner.feed([size for size, _ in some], [group for _, group in some])
    plan = planner.plan("m", LANES)
    assert plan.total == len(lines)
    at = 0
    found: dict[int, LaneKey] = {}
    assert len({(shard.range_no, shard.lane) for shard in plan.shards}) == len(plan.shards)
    for number, each in enumerate(plan.ranges):
        assert (each.range_no, each.first_line) == (number, at)
        sizes = [size for size, _ in lines[at : at + each.lines]]
        assert 1 <= each.lines <= 7
        assert each.lines == 1 or sum(sizes) <= 500
        at += each.lines
        for shard in plan.shards:
            if shard.range_no == number:
                for place in bitmap.members(shard.members):
                    assert each.first_line + place not in found
                    found[each.first_line + place] = shard.lane
    assert at == len(lines)
    assert found == {i: LANES[group] for i, (_, group) in enumerate(lines) if group != NO_GROUP}
