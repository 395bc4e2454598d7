"""When ranges are folded beside lines that are being sent."""

from __future__ import annotations

from typing import Any, cast

from batchrouter.adapters.threads import InlineCalls
from batchrouter.domain.shard import FoldWork
from batchrouter.engine.fold import HURRY_A_SECOND, PATIENT, RATE_OVER_S, TOGETHER, Folder
from batchrouter.engine.traffic import Traffic
from batchrouter.ports.ledger import Ledger
from batchrouter.ports.meters import Meters
from tests.unit.engine.house import House


class Asked:
    """A ledger that has nothing to fold, and keeps how many ranges would have been enough."""

    def __init__(self) -> None:
        self.least: list[int] = []

    def take_folds(self, now_ms: int, until_ms: int, least: int, limit: int) -> list[FoldWork]:
        self.least.append(least)
        return []


async def test_folding_waits_for_more_while_much_is_sent() -> None:
    """By the rate since the last round; rounds that follow at once go by the last one's."""
    house, asked, traffic = House(), Asked(), Traffic(Meters())
    calls = InlineCalls()
    folder = Folder(cast(Ledger, cast(Any, asked)), calls, house.blobs, house.clock, house.chance, traffic)
    for passed_s, sent in (
        (2.0, 2 * HURRY_A_SECOND),
        (2.0, 2 * HURRY_A_SECOND + 1),
        (RATE_OVER_S / 2, 0),
        (1.0, 0),
    ):
        house.clock.advance(passed_s)
        traffic.calls += sent
        assert await folder.run_once() == 0
    assert asked.least == [TOGETHER, PATIENT, PATIENT, TOGETHER]
