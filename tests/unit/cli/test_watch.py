"""When a run ends because only a person can make it go on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from batchrouter.cli.watch import stuck_lanes
from batchrouter.domain.batch import LaneShare

NOW_MS = 1_000_000
REFUSED = LaneShare(
    lane_id=1,
    provider="p",
    model="m",
    waiting=1500,
    in_flight=0,
    retrying=0,
    done=0,
    limit=32,
    state="paused",
    reason="the upstream refuses the key (401): set a valid one",
    until_ms=NOW_MS + 30_000,
)
OPEN = replace(REFUSED, lane_id=2, state="open", reason=None, until_ms=None)


def test_it_is_stuck_when_every_lane_with_lines_left_is_paused() -> None:
    """One that has none left does not matter, whatever its state."""
    done = replace(OPEN, waiting=0, done=10)
    told = stuck_lanes((REFUSED, done), {}, NOW_MS)
    assert told == ("p/m (1,500 lines left): the upstream refuses the key (401): set a valid one",)


@pytest.mark.parametrize(
    ("shares", "flying"),
    [
        ((REFUSED, OPEN), {}),
        ((REFUSED, replace(OPEN, mode="batch", waiting=0, in_job=5)), {}),
        ((REFUSED, replace(OPEN, state="waiting", until_ms=NOW_MS + 1)), {}),
        ((REFUSED, replace(OPEN, state="unreachable", until_ms=NOW_MS + 1)), {}),
        ((REFUSED,), {1: (1, 0)}),
        ((replace(REFUSED, until_ms=NOW_MS),), {}),
        ((replace(REFUSED, until_ms=0),), {}),
        ((), {}),
    ],
    ids=[
        "open",
        "in a native job",
        "waiting",
        "unreachable",
        "a call under way",
        "its probe is due",
        "an earlier process",
        "no lanes",
    ],
)
def test_it_is_not_stuck_while_anything_may_still_come(
    shares: tuple[LaneShare, ...], flying: dict[int, tuple[int, int]]
) -> None:
    assert stuck_lanes(shares, flying, NOW_MS) == ()


def test_a_lane_that_cannot_even_be_asked_needs_a_person() -> None:
    """Its provider is no longer configured: it has no time of a next try."""
    gone = replace(REFUSED, reason="provider 'p' is no longer configured", until_ms=None)
    assert stuck_lanes((gone,), {}, NOW_MS) == ("p/m (1,500 lines left): provider 'p' is no longer configured",)
