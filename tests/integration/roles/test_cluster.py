"""Two API and two worker processes on PostgreSQL and a bucket: together they are one server."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from batchrouter.simulator import Script
from batchrouter.simulator.process import SimulatorProcess
from batchrouter.simulator.script import Uniform
from tests.lines import chats, check_output, counts, finished, jsonl, output_of, until, upload
from tests.serving import Cluster

SHARD = 500
IN_FLIGHT = 32


def await_that(holds: Callable[[], bool], what: str, within_s: float = 30.0) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@pytest.fixture(autouse=True)
def fixed_pace(cluster: Cluster) -> None:
    for each in cluster.all:
        each.config["providers"]["sim"]["fixed_in_flight"] = IN_FLIGHT


def test_what_is_made_through_one_api_is_read_through_another(cluster: Cluster) -> None:
    """By whichever worker; a key that the one revokes is refused by the other within five seconds."""
    with cluster:
        one, other = cluster.apis
        asked = chats(300, "roles")
        batch_id = upload(one.client(), jsonl(asked)).id
        batch = finished(other.client(), batch_id)
        assert (batch.status, counts(batch)) == ("completed", (300, 300, 0))
        check_output(asked, output_of(other.client(), batch))
        admin = cluster.admin_key()
        key = one.ask("POST", "/admin/v1/keys", {"tenant": "acme"}, admin)
        assert other.fetch("GET", "/v1/batches", key=key["secret"])[0] == 200
        one.ask("DELETE", f"/admin/v1/keys/{key['id']}", key=admin)
        await_that(lambda: other.fetch("GET", "/v1/batches", key=key["secret"])[0] == 401, "the key still works", 10)
        cluster.stop()


def test_a_killed_worker_is_taken_over_within_its_lease(cluster: Cluster, simulator: SimulatorProcess) -> None:
    """Its lines go on with the other; only what was in flight or not yet written is asked again."""
    simulator.set_script(Script(latency=Uniform(low=0.3, high=0.5)))
    with cluster:
        client = cluster.apis[0].client()
        asked = chats(3 * SHARD, "kill")
        batch_id = upload(client, jsonl(asked)).id
        until(client, batch_id, lambda batch: counts(batch)[1] > 100)
        victim = cluster.workers[0]
        victim.kill()
        batch = finished(client, batch_id, 60)
        assert (batch.status, counts(batch)) == ("completed", (1500, 1500, 0))
        check_output(asked, output_of(client, batch))
        log = simulator.log()
        repeats = len(log) - len({entry.key for entry in log})
        # In flight, and answered in the second before a flush with those that followed in their slots.
        assert repeats <= IN_FLIGHT * 6
        cluster.stop()


def test_a_rolling_restart_repeats_nothing(cluster: Cluster, simulator: SimulatorProcess) -> None:
    """Each worker in turn: its calls end, what came is written, and the others have its lines at once."""
    with cluster:
        client = cluster.apis[0].client()
        asked = chats(4 * SHARD, "rolling")
        batch_id = upload(client, jsonl(asked)).id
        for number, worker in enumerate(cluster.workers):
            until(client, batch_id, lambda batch, least=150 * (number + 1): counts(batch)[1] >= least)
            worker.stop()
            worker.start()
        for api in cluster.apis[1:]:
            api.stop()
            api.start()
        assert client.batches.retrieve(batch_id).status == "in_progress", "the batch was too short for this"
        batch = finished(client, batch_id, 60)
        assert (batch.status, counts(batch)) == ("completed", (2000, 2000, 0))
        check_output(asked, output_of(client, batch))
        log = simulator.log()
        assert {entry.end for entry in log} == {"sent"}
        assert sorted(entry.key for entry in log) == sorted(each.key for each in asked)
        cluster.stop()
