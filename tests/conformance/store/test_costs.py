"""What lines cost, by batch and by lane, and what is not known of it."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import pytest

from batchrouter.domain.cost import UNKNOWN
from batchrouter.domain.lifecycle import BatchEvent
from batchrouter.domain.outcome import Outcome
from batchrouter.domain.tokens import Tokens
from batchrouter.errors import StoreError
from tests.conformance.scene import CHEAP, FAST, TENANT, Scene, gap_records, record, records_of


def costs(numbers: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(numbers)}q", *numbers)


def known(scene: Scene) -> tuple[int, int]:
    batch = scene.batch("b1")
    return batch.cost_nano, batch.unpriced


def test_settled_lines_add_their_costs_to_the_batch_and_their_lane(scene: Scene) -> None:
    """Exactly, in billionths of a dollar, with the lane's tokens; a dearer batch than 32 bits hold is no other."""
    worker = scene.worker()
    scene.running("b1", (4,), (FAST, CHEAP))
    fast, cheap = scene.claim_one(worker), scene.claim_one(worker, lane=CHEAP)
    dear = 7_000_000_000_000
    scene.settle(worker, "b1", [record(fast, 0), record(cheap, 1), record(fast, 2)], costs=costs([5, 20, dear]))
    scene.settle(worker, "b1", [record(cheap, 3, Outcome.FAILED)], costs=costs([1]))
    assert known(scene) == (dear + 26, 0)
    first, second = scene.catalog.lane_shares("b1")
    assert (first.cost_nano, first.unpriced, first.tokens) == (dear + 5, 0, Tokens(20, 8, 6, 2))
    assert (second.cost_nano, second.unpriced, second.tokens) == (21, 0, Tokens(10, 4, 3, 1))


def test_only_what_is_admitted_costs(scene: Scene) -> None:
    """A repeat, or a second answer to a line, adds nothing: the batch tells what its answers cost."""
    worker = scene.worker()
    scene.running()
    claim = scene.claim_one(worker)
    for _ in range(2):
        scene.settle(worker, "b1", [record(claim, 0), record(claim, 1)], costs=costs([5, 6]))
    scene.settle(worker, "b1", [record(claim, 1), record(claim, 2)], costs=costs([100, 7]))
    assert known(scene) == (18, 0)


def test_a_line_that_used_tokens_at_an_unknown_price_is_counted(scene: Scene) -> None:
    """By batch and lane; one that used none cost nothing, whoever's price it is; a price of nothing is known."""
    worker = scene.worker()
    scene.running("b1", (4,))
    claim = scene.claim_one(worker)
    lines = [record(claim, 0), record(claim, 1, Outcome.FAILED), record(claim, 2), record(claim, 3)]
    scene.settle(worker, "b1", lines, costs=costs([UNKNOWN, UNKNOWN, 9, 0]))
    assert known(scene) == (9, 1)
    (share,) = scene.catalog.lane_shares("b1")
    assert (share.cost_nano, share.unpriced) == (9, 1)


def test_without_costs_nothing_is_known(scene: Scene) -> None:
    """Each line that used tokens counts as one without a price: never as one for nothing."""
    worker = scene.worker()
    scene.running()
    scene.settle(worker, "b1", [*records_of(scene.claim_one(worker))])
    assert known(scene) == (0, 4)


def test_gaps_cost_nothing(scene: Scene) -> None:
    """Whatever stands there: nobody sent them."""
    worker = scene.worker()
    scene.running()
    duty = scene.closed(worker, "b1", BatchEvent.CANCEL)
    scene.ledger.seal(worker, duty)
    gaps = [gap._replace(tokens_in=1) for gap in gap_records(duty, scene.ranges(), Outcome.CANCELLED)]
    told = scene.settle(worker, "b1", gaps, duty_epoch=duty.duty_epoch, costs=costs([5, UNKNOWN, 0, 5]))
    assert told.admitted == 0b1111
    assert known(scene) == (0, 0)


@pytest.mark.parametrize("count", [1, 3])
def test_costs_that_are_not_one_a_record_are_refused(count: int, scene: Scene) -> None:
    """Nothing is settled: a cost must not go to another line."""
    worker = scene.worker()
    scene.running()
    claim = scene.claim_one(worker)
    before = scene.picture("b1")
    with pytest.raises(StoreError):
        scene.settle(worker, "b1", [record(claim, 0), record(claim, 1)], costs=costs([5] * count))
    assert scene.picture("b1") == before


def test_a_claim_tells_what_its_batch_may_cost_and_what_it_has_cost(scene: Scene) -> None:
    """None where it may cost anything."""
    worker = scene.worker()
    assert scene.running("b1", (4, 4), max_cost_nano=500).max_cost_nano == 500
    first = scene.claim_one(worker)
    assert (first.max_cost_nano, first.cost_nano) == (500, 0)
    scene.settle(worker, "b1", records_of(first), costs=costs([1, 2, 3, 4]))
    second = scene.claim_one(worker)
    assert (second.max_cost_nano, second.cost_nano) == (500, 10)
    scene.running("b2")
    assert scene.claim_one(worker, "b2").max_cost_nano is None
    page = scene.catalog.batches(TENANT, after=None, limit=10)
    assert page is not None
    assert [batch.max_cost_nano for batch in page.rows] == [None, 500]
