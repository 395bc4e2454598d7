"""What finished lines come to, over the wire."""

from __future__ import annotations

from typing import Any

import requests

from batchrouter.domain.lifecycle import BatchEvent
from batchrouter.domain.samples import LEAST_MS
from batchrouter.domain.shard import Load
from tests.acceptance.api.batches import LEASE_MS, WORKER, Hand
from tests.acceptance.api.rig import USER_KEY, Rig

LINES = b"".join(
    b'{"custom_id":"r-%d","method":"POST","url":"/v1/embeddings","body":{"model":"m","input":"a"}}\n' % number
    for number in range(10)
)


def ask(rig: Rig, method: str, path: str, **sent: Any) -> Any:
    reply = requests.request(method, rig.url + path, headers={"Authorization": f"Bearer {USER_KEY}"}, **sent)
    assert reply.status_code == 200, reply.text
    return reply.json()


def batch(rig: Rig) -> Hand:
    file = ask(rig, "POST", "/v1/files", files={"file": LINES}, data={"purpose": "batch"})["id"]
    made = ask(rig, "POST", "/v1/batches", json={"input_file_id": file, "endpoint": "/v1/embeddings"})
    return Hand(rig, made["id"])


def summary(rig: Rig, batch_id: str) -> Any:
    return ask(rig, "GET", f"/v1/batches/{batch_id}/summary")


def test_a_batch_without_answers_has_an_empty_summary(rig: Rig) -> None:
    """Nothing is made up: neither a pace nor an end."""
    told = summary(rig, batch(rig).batch_id)
    assert (told["object"], told["status"], told["lines"], told["complete"]) == ("batch.summary", "validating", 0, True)
    assert (told["eta"], told["invalid_output"], told["errors"], told["finish_reasons"]) == (None, None, [], [])
    assert told["rate"] == {"lines_per_s": 0.0, "input_tokens_per_s": 0.0, "output_tokens_per_s": 0.0}
    assert told["history"] == {"interval_s": 1.0, "points": []}


def test_a_summary_grows_with_the_batch_and_stays_after_it(rig: Rig) -> None:
    """While it runs, once it is over, and read anew from what folding left."""
    hand = batch(rig)
    hand.plan()
    hand.answer()
    running = summary(rig, hand.batch_id)
    assert (running["status"], running["lines"]) == ("in_progress", 10)
    hand.end(BatchEvent.COMPLETE)
    hand.fold()
    told = summary(rig, hand.batch_id)
    assert told["status"] == "completed"
    assert [(each["reason"], each["count"]) for each in told["finish_reasons"]] == [("stop", 7)]
    (failure,) = told["errors"]
    assert (failure["outcome"], failure["count"], failure["sample"]["line"] % 3) == ("failed", 3, 2)
    assert failure["sample"]["custom_id"] == f"r-{failure['sample']['line']}"
    assert (told["latency_ms"]["p50"], told["latency_ms"]["max"]) == (5, 5)
    assert told["output_tokens"]["histogram"] == [{"le": 3, "count": 10}]
    assert told["attempts"] == {"total": 10, "retried_lines": 0}
    points = told["history"]["points"]
    assert (sum(each["done"] for each in points), sum(each["failed"] for each in points)) == (10, 3)
    assert sum(each["input_tokens"] for each in points) == 100


def test_lanes_have_a_curve_of_what_was_in_flight(rig: Rig) -> None:
    """Replies that told to slow down are counted since the sample before."""
    hand = batch(rig)
    hand.plan()
    (share,) = rig.store.catalog.lane_shares(hand.batch_id)
    began_ms = hand.now
    for step, (in_flight, throttled) in enumerate([(3, 0), (8, 2), (4, 5), (6, 1)]):
        load = Load(lane_id=share.lane_id, batch_id=hand.batch_id, in_flight=in_flight, retrying=0, throttled=throttled)
        assert rig.store.ledger.beat(WORKER, began_ms + step * LEAST_MS, LEASE_MS, [load]).alive
    (lane,) = summary(rig, hand.batch_id)["lanes"]
    assert (lane["provider"], lane["model"], lane["mode"]) == ("sim", "m", "realtime")
    assert [(each["in_flight"], each["throttled"]) for each in lane["samples"]] == [(3, 0), (8, 2), (4, 3), (6, 1)]
