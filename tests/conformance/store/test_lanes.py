"""The lanes table."""

from __future__ import annotations

from dataclasses import replace

from batchrouter.domain.shard import Lane, LaneKey, LaneMode
from tests.conformance.scene import CHEAP, FAST, SLOW, Scene


def test_a_lane_is_made_when_it_is_first_named(scene: Scene) -> None:
    """Open, without a reason or a limit; named again it is the same."""
    lane = scene.ledger.lane(FAST)
    assert lane == Lane(id=lane.id, key=FAST)
    assert scene.ledger.lane(FAST) == lane
    assert scene.ledger.lanes() == [lane]


def test_provider_model_pool_and_mode_make_a_lane(scene: Scene) -> None:
    """Lanes that differ in one of them are different."""
    keys = [LaneKey("a", "m"), LaneKey("b", "m"), LaneKey("a", "n"), LaneKey("a", "m", "second")]
    keys += [LaneKey("a", "m", mode=mode) for mode in (LaneMode.BATCH, LaneMode.FLEX)]
    assert len({scene.ledger.lane(key).id for key in keys}) == 6
    assert all(type(lane.key.mode) is LaneMode for lane in scene.ledger.lanes())
    assert {lane.key for lane in scene.ledger.lanes()} == set(keys)


def test_what_was_learnt_about_a_lane_is_kept(scene: Scene) -> None:
    """State, reason, until and limit are replaced together; the key is not."""
    lane = scene.ledger.lane(FAST)
    noted = replace(lane, state="paused", reason="invalid_api_key", until_ms=scene.now + 5, limit=12)
    scene.ledger.note_lanes([replace(noted, key=SLOW)])
    assert scene.ledger.lane(FAST) == noted
    scene.ledger.note_lanes([lane])
    assert scene.ledger.lanes() == [lane]


def test_noting_an_unknown_lane_makes_none(scene: Scene) -> None:
    """Rows are made by key alone."""
    scene.ledger.note_lanes([Lane(id=77, key=FAST)])
    assert scene.ledger.lanes() == []


def test_people_see_each_lane_of_a_batch(scene: Scene) -> None:
    """By lane, with its lines, and why it waits and until when; nothing before planning."""
    scene.worker()
    scene.create("b2")
    assert scene.catalog.lane_shares("b2") == []
    assert scene.catalog.lane_shares("nothing") == []
    scene.running("b1", lanes=(FAST, SLOW))
    lane = scene.ledger.lane(SLOW)
    scene.ledger.note_lanes([replace(lane, state="paused", reason="no credit", until_ms=scene.now + 9, limit=3)])
    fast, slow = scene.catalog.lane_shares("b1")
    assert (fast.lane_id, fast.provider, fast.model, fast.state, fast.limit) == (
        scene.lane_id(FAST), FAST.provider, FAST.model, "open", None
    )  # fmt: skip
    assert (slow.provider, slow.state, slow.reason, slow.until_ms, slow.limit) == (
        SLOW.provider, "paused", "no credit", scene.now + 9, 3
    )  # fmt: skip
    assert (fast.waiting, slow.waiting) == (2, 2)
    assert (fast.mode, slow.mode) == ("realtime", "realtime")


def test_lanes_of_every_mode_are_told_as_waiting(scene: Scene) -> None:
    """A lane of native batches is claimed like any other; the engine decides what it does with the claims."""
    worker = scene.worker()
    scene.running("b1", (4,), (FAST, CHEAP))
    assert {group.lane_id for group in scene.ledger.waiting(scene.now)} == {scene.lane_id(FAST), scene.lane_id(CHEAP)}
    (claim,) = scene.claim(worker, lane=CHEAP)
    assert claim.lane_id == scene.lane_id(CHEAP)
    assert [share.mode for share in scene.catalog.lane_shares("b1")] == ["realtime", "batch"]


def test_the_lines_of_all_lanes_add_up(scene: Scene) -> None:
    """Waiting, in flight, retrying and done are every line of the batch, at every step."""
    worker = scene.worker()
    scene.running("b1", (4, 4), (FAST, SLOW))
    steps = [*scene.claim(worker), *scene.claim(worker, lane=SLOW)]
    for claim in steps:
        shares = scene.catalog.lane_shares("b1")
        assert sum(share.waiting + share.in_flight + share.retrying + share.done for share in shares) == 8
        scene.ledger.release(worker, [(claim.shard_id, claim.epoch)])
