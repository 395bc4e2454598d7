"""What a batch tells of its lanes does not contradict what it tells of itself."""

from __future__ import annotations

import pytest

from batchrouter.domain.batch import Batch, LaneShare
from batchrouter.domain.lifecycle import BATCH_FINAL, BatchState
from batchrouter.service.batches import shares_told


def batch(state: BatchState, total: int) -> Batch:
    return Batch(
        id="b",
        seq=1,
        tenant_id="t",
        state=state,
        endpoint="/v1/chat/completions",
        completion_window="24h",
        input_file_id="f",
        total=total,
        created_ms=0,
        expires_ms=1,
    )


def share(waiting: int, in_flight: int, retrying: int, done: int, lane: int = 1) -> LaneShare:
    return LaneShare(
        lane_id=lane,
        provider="p",
        model=f"m{lane}",
        waiting=waiting,
        in_flight=in_flight,
        retrying=retrying,
        done=done,
        limit=4,
        state="paused",
        reason="the upstream refuses the key (401)",
        until_ms=9,
    )


def counts(told: list[LaneShare]) -> list[tuple[int, int, int, int]]:
    return [(each.waiting, each.in_flight, each.retrying, each.done) for each in told]


@pytest.mark.parametrize("state", sorted(BATCH_FINAL))
def test_the_lanes_of_a_final_batch_wait_for_nothing(state: BatchState) -> None:
    (told,) = shares_told(batch(state, 20), [share(3, 9, 2, 20)])
    assert counts([told]) == [(0, 0, 0, 20)]
    assert (told.state, told.reason, told.until_ms) == ("open", None, None)


def test_a_running_batch_tells_no_more_lines_than_it_has() -> None:
    """The calls that a worker wrote down a second ago may have ended since."""
    running = BatchState.IN_PROGRESS
    assert counts(shares_told(batch(running, 20), [share(0, 9, 0, 20)])) == [(0, 0, 0, 20)]
    assert counts(shares_told(batch(running, 20), [share(0, 9, 3, 15)])) == [(0, 2, 3, 15)]
    assert counts(shares_told(batch(running, 20), [share(0, 2, 9, 16)])) == [(0, 0, 4, 16)]
    two = [share(4, 4, 0, 2), share(0, 9, 1, 8, lane=2)]
    assert counts(shares_told(batch(running, 20), two)) == [(4, 4, 0, 2), (0, 1, 1, 8)], "what waits is exact"


@pytest.mark.parametrize("of_a_lane", [(0, 5, 0, 15), (7, 5, 3, 5), (3, 0, 0, 2)])
def test_what_fits_is_told_as_it_is(of_a_lane: tuple[int, int, int, int]) -> None:
    """Its state too; and before all lines have a lane there are fewer."""
    whole = [share(*of_a_lane)]
    assert shares_told(batch(BatchState.IN_PROGRESS, 20), whole) == whole
