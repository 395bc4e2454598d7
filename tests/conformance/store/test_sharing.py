"""What workers tell each other with their beats: demands, and who probes a paused lane."""

from __future__ import annotations

from dataclasses import replace

from batchrouter.domain.sharing import EVERYTHING, Demand, Peer, money_gate
from batchrouter.domain.tenant import Quotas
from tests.conformance.scene import FAST, LEASE_MS, SLOW, Scene, records_of


def beat(scene: Scene, worker: str, **demands: Demand) -> dict[str, dict[str, Demand]]:
    told = scene.ledger.beat(worker, scene.now, LEASE_MS, [], demands)
    assert told.alive
    return {peer.worker: dict(peer.demands) for peer in told.peers}


def test_a_beat_tells_a_workers_demands_and_hears_those_of_all(scene: Scene) -> None:
    """Its own as it has just told them; a worker that wants nothing is there without any."""
    scene.worker("w1")
    assert beat(scene, "w1", a=Demand(5, 2)) == {"w1": {"a": Demand(5, 2)}}
    scene.worker("w2")
    both = {"w1": {"a": Demand(5, 2)}, "w2": {}}
    assert beat(scene, "w2") == both
    assert beat(scene, "w2", a=Demand(EVERYTHING), b=Demand(0, 7)) == both | {
        "w2": {"a": Demand(EVERYTHING), "b": Demand(0, 7)}
    }
    assert beat(scene, "w1", a=Demand(6, 2))["w1"] == {"a": Demand(6, 2)}
    assert beat(scene, "w2", b=Demand(1)) == {"w1": {"a": Demand(6, 2)}, "w2": {"b": Demand(1)}}


def test_a_dead_workers_demands_stand_as_long_as_its_row(scene: Scene) -> None:
    """Its calls may still run until its lease ends; who resigns has none left."""
    for name in ("w1", "w2", "w3"):
        scene.worker(name)
        beat(scene, name, a=Demand(1))
    scene.ledger.resign("w3")
    assert beat(scene, "w1").keys() == {"w1", "w2"}
    scene.now += LEASE_MS // 3
    assert beat(scene, "w1").keys() == {"w1", "w2"}
    scene.now += LEASE_MS // 3
    assert beat(scene, "w1").keys() == {"w1", "w2"}
    scene.now += LEASE_MS // 3 + 1
    assert beat(scene, "w1", a=Demand(2)) == {"w1": {"a": Demand(2)}}


def test_a_beat_of_a_worker_that_was_freed_tells_nothing(scene: Scene) -> None:
    scene.worker("w1")
    scene.worker("w2")
    scene.ledger.resign("w2")
    told = scene.ledger.beat("w2", scene.now, LEASE_MS, [], {"a": Demand(1)})
    assert (told.alive, told.peers) == (False, ())
    assert beat(scene, "w1") == {"w1": {}}


def test_a_beat_tells_what_batches_with_a_money_gate_cost(scene: Scene) -> None:
    """As it is settled at that moment; of others, and of those that are gone, nothing."""
    worker = scene.worker()
    scene.running("b1", (4, 4), max_cost_nano=500)
    gates = {money_gate("b1"): Demand(7), money_gate("b9"): Demand(1), "x": Demand(1)}
    assert scene.ledger.beat(worker, scene.now, LEASE_MS, [], gates).costs == {"b1": 0}
    claim = scene.claim_one(worker)
    scene.settle(worker, "b1", records_of(claim), costs=(5).to_bytes(8, "little") * 4)
    assert scene.ledger.beat(worker, scene.now, LEASE_MS, [], gates).costs == {"b1": 20}
    assert scene.ledger.beat(worker, scene.now, LEASE_MS, [], {}).costs == {}


def test_peers_are_told_by_value(scene: Scene) -> None:
    """What was told stays what it was, whatever the teller does with it afterwards."""
    scene.worker("w1")
    demands = {"a": Demand(1)}
    told = scene.ledger.beat("w1", scene.now, LEASE_MS, [], demands)
    demands["b"] = Demand(2)
    assert told.peers == (Peer("w1", {"a": Demand(1)}),)
    assert beat(scene, "w1", c=Demand(3)) == {"w1": {"c": Demand(3)}}


def test_one_worker_probes_a_lane_until_its_time_is_over(scene: Scene) -> None:
    for name in ("w1", "w2"):
        scene.worker(name)
    lane_id = scene.lane_id()
    assert scene.ledger.probe("w1", lane_id, scene.now, scene.now + 100)
    assert not scene.ledger.probe("w2", lane_id, scene.now + 99, scene.now + 500)
    assert scene.ledger.probe("w1", lane_id, scene.now + 99, scene.now + 200)
    assert not scene.ledger.probe("w2", lane_id, scene.now + 100, scene.now + 500)
    assert scene.ledger.probe("w2", lane_id, scene.now + 200, scene.now + 500)
    assert not scene.ledger.probe("w1", lane_id, scene.now + 201, scene.now + 500)
    assert not scene.ledger.probe("w1", 999, scene.now, scene.now + 1)


def test_a_prober_that_is_gone_holds_nobody_up(scene: Scene) -> None:
    """Each lane has one of its own, and noting a lane leaves it."""
    for name in ("w1", "w2"):
        scene.worker(name)
    lane_id, other = scene.lane_id(FAST), scene.lane_id(SLOW)
    assert scene.ledger.probe("w1", lane_id, scene.now, scene.now + 10**6)
    assert scene.ledger.probe("w2", other, scene.now, scene.now + 10**6)
    scene.ledger.note_lanes([replace(scene.ledger.lane(FAST), state="paused")])
    assert not scene.ledger.probe("w2", lane_id, scene.now, scene.now + 1)
    scene.ledger.resign("w1")
    assert scene.ledger.probe("w2", lane_id, scene.now, scene.now + 1)


def test_quotas_of_calls_in_flight_are_told_of_those_who_have_one(scene: Scene) -> None:
    scene.worker("w1")
    assert scene.ledger.outlook("w1", scene.now, 1).quotas == {}
    home = scene.tenant("other")
    scene.catalog.add_tenant(replace(home, quotas=Quotas(max_in_flight=3, max_lines=5)))
    assert scene.ledger.outlook("w1", scene.now, 1).quotas == {"other": 3}
    scene.catalog.add_tenant(replace(home, quotas=Quotas(max_lines=5)))
    assert scene.ledger.outlook("w1", scene.now, 1).quotas == {}
