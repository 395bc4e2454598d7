"""Plans are the seed's alone, leave somebody alive, and leave nothing out."""

from __future__ import annotations

import pytest

from tests.chaos.run import SECONDS, SEED
from tests.chaos.schedule import ALL, API, BLOBS, DATABASE, WORKER, Kind, Trouble, plan

LEASE_S = 5.0


def planned(seed: int, seconds: float = 75.0) -> list[Trouble]:
    return plan(seed, seconds, 3, 2, LEASE_S)


def together(troubles: list[Trouble], moment_s: float) -> list[Trouble]:
    return [each for each in troubles if each.at_s <= moment_s < each.until_s]


def test_a_seed_says_everything() -> None:
    assert planned(7) == planned(7)
    assert planned(7) != planned(8)


@pytest.mark.parametrize(("seed", "seconds"), [(1, 75.0), (33, 75.0), (2, 1200.0)])
def test_somebody_is_always_left_alone_and_all_ends_in_time(seed: int, seconds: float) -> None:
    troubles = planned(seed, seconds)
    assert [each.at_s for each in troubles] == sorted(each.at_s for each in troubles)
    assert all(each.until_s < seconds for each in troubles)
    for trouble in troubles:
        now = together(troubles, trouble.at_s)
        for kinds, count in ((WORKER, 3), (API, 2)):
            slots = [each.slot for each in now if each.kind in kinds]
            assert len(slots) == len(set(slots)) < count
        for group in (DATABASE, BLOBS):
            assert len([each for each in now if each.kind in group]) <= 1
        if any(each.kind is Kind.ROLLING for each in now):
            assert all(each.slot == ALL for each in now)


def test_a_long_plan_has_every_kind_about_as_often() -> None:
    counted = {kind: sum(each.kind is kind for each in planned(1, 1200)) for kind in Kind}
    assert min(counted.values()) > 0.5 * max(counted[kind] for kind in Kind if kind not in WORKER), counted
    assert {each.slot for each in planned(1, 1200)} == {"worker-0", "worker-1", "worker-2", "api-0", "api-1", ALL}


def test_what_is_longer_than_a_lease_is_clearly_longer() -> None:
    for trouble in planned(3, 1200):
        if trouble.kind in (Kind.FREEZE, Kind.BLACKHOLE):
            assert trouble.for_s > 1.2 * LEASE_S
        if trouble.kind in (Kind.NAP, Kind.DEAF):
            assert trouble.for_s < 0.4 * LEASE_S


def test_the_suites_own_run_leaves_no_kind_out() -> None:
    assert {each.kind for each in plan(SEED, SECONDS, 3, 2, LEASE_S)} == set(Kind)
