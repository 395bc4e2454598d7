"""Two API and two worker processes on PostgreSQL and a bucket: together they are one server."""

from __future__ import annotations

import itertools
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai

from batchrouter.adapters.sql.store import SqlStore
from batchrouter.simulator.process import SimulatorProcess
from tests.integration.roles.conftest import IN_FLIGHT, LEASE_S, await_that
from tests.lines import (
    CHAT,
    Asked,
    chat,
    chats,
    check_output,
    counts,
    errors_of,
    finished,
    jsonl,
    output_of,
    until,
    upload,
)
from tests.reading import LineReader, streamed
from tests.serving import Cluster

SHARD = 500
LINES, QUESTIONS = 6_000, 100


def test_what_is_made_through_one_api_is_read_through_another(cluster: Cluster) -> None:
    """By whichever worker."""
    one, other = cluster.apis
    asked = chats(300, "roles")
    batch_id = upload(one.client(), jsonl(asked)).id
    batch = finished(other.client(), batch_id)
    assert (batch.status, counts(batch)) == ("completed", (300, 300, 0))
    check_output(asked, output_of(other.client(), batch))


def test_a_rolling_restart_repeats_nothing(cluster: Cluster, simulator: SimulatorProcess) -> None:
    """Each worker in turn: its calls end, what came is written, and the others have its lines at once."""
    simulator.reset()
    client = cluster.apis[0].client()
    asked = chats(3 * SHARD, "rolling")
    batch_id = upload(client, jsonl(asked)).id
    for number, worker in enumerate(cluster.workers):
        until(client, batch_id, lambda batch, least=150 * (number + 1): counts(batch)[1] >= least)
        worker.stop()
        assert client.batches.retrieve(batch_id).status == "in_progress", "the batch was too short for this"
        worker.start()
    other = cluster.apis[1]
    other.stop()
    other.start()
    batch = finished(other.client(), batch_id, 60)
    assert (batch.status, counts(batch)) == ("completed", (3 * SHARD, 3 * SHARD, 0))
    check_output(asked, output_of(other.client(), batch))
    log = simulator.log()
    assert {entry.end for entry in log} == {"sent"}
    assert sorted(entry.key for entry in log) == sorted(each.key for each in asked)


def test_a_killed_worker_is_taken_over_within_its_lease(cluster: Cluster, simulator: SimulatorProcess) -> None:
    """Its lines go on with the other; only what was in flight or not yet written is asked again. Meanwhile a key that
    one API revokes dies in the other."""
    simulator.reset()
    one, other = cluster.apis
    admin = cluster.admin_key()
    key = one.ask("POST", "/admin/v1/keys", {"tenant": "acme"}, admin)
    asked = chats(2 * SHARD, "kill")
    batch_id = upload(one.client(), jsonl(asked)).id
    until(one.client(), batch_id, lambda batch: counts(batch)[1] > 100)
    cluster.workers[0].kill()
    killed_s, sent = time.monotonic(), simulator.stats()["requests"]
    assert other.fetch("GET", "/v1/batches", key=key["secret"])[0] == 200
    one.ask("DELETE", f"/admin/v1/keys/{key['id']}", key=admin)
    batch = finished(one.client(), batch_id, 60)
    took_s = time.monotonic() - killed_s
    assert (batch.status, counts(batch)) == ("completed", (2 * SHARD, 2 * SHARD, 0))
    check_output(asked, output_of(one.client(), batch))
    log = simulator.log()
    repeats = len(log) - len({entry.key for entry in log})
    print(f"{sent} sent before the kill, {repeats} repeated; it ended {took_s:.1f} s after that")
    assert took_s < LEASE_S + 25
    # In flight; and of the second before a flush, in which a slot has at most ten calls of 0.1 s, those answered.
    assert repeats <= IN_FLIGHT * 11
    await_that(lambda: other.fetch("GET", "/v1/batches", key=key["secret"])[0] == 401, "the key still works")


def test_lines_read_along_through_any_api_are_those_of_the_files(cluster: Cluster) -> None:
    """While two workers settle them, afterwards, and after the batch was folded; streamed or page by page."""
    one, other = cluster.apis
    asked = chats(SHARD + 200, "along")
    for place in range(0, len(asked), 100):
        asked[place] = Asked(f"bad-{place}", b'{"model":"m","messages":[],"seed":%d}' % place)
    batch_id = upload(one.client(), jsonl(asked)).id
    reader = LineReader(batch_id)
    with ThreadPoolExecutor(1) as pool:
        stream = pool.submit(streamed, other, batch_id)
        for turn in itertools.count():
            reader.step((one, other)[turn % 2], wait=20, limit=90)
            if reader.final:
                break
        lines = stream.result(60)
    assert [line["result"] for line in lines] == [json.loads(line) for line in reader.told]
    batch = finished(other.client(), batch_id)
    output, error = output_of(one.client(), batch), errors_of(one.client(), batch)
    reader.check(other, output, error)
    store = SqlStore.open_postgres(str(one.config["storage"]["database"]))
    try:
        await_that(lambda: all(r.folded for r in store.results.ranges_from(batch_id, 0, 10)), "it was not folded")
    finally:
        store.close()
    reader.check(one, output, error)


def test_copies_survive_the_death_of_whoever_makes_them(cluster: Cluster, simulator: SimulatorProcess) -> None:
    """Identical lines are asked once; a retry sends its one line and copies all others, although one worker is killed
    in the middle; and its files hold every line once."""
    simulator.reset()
    one, other = cluster.apis
    client = one.client()
    asked = [Asked(f"id-{i:05d}", chat("", f"the same {i % QUESTIONS}").body) for i in range(LINES)]
    file = client.files.create(file=jsonl(asked), purpose="batch")
    first = client.batches.create(
        input_file_id=file.id, endpoint=CHAT, completion_window="24h", extra_body={"dedupe": True}
    )
    first = finished(client, first.id, 60)
    assert counts(first) == (LINES, LINES, 0)
    assert len(simulator.log()) == QUESTIONS
    wish: dict[str, Any] = {"where": {"custom_id": ["id-00003"]}}
    again = client.post(f"/batches/{first.id}/retry", body=wish, cast_to=openai.types.Batch)
    until(client, again.id, lambda batch: counts(batch)[1] > 0)
    cluster.workers[0].kill()
    batch = finished(other.client(), again.id, 60)
    cluster.workers[0].start()
    assert (batch.status, counts(batch)) == ("completed", (LINES, LINES, 0))
    assert (batch.model_extra or {})["batchrouter"]["reused"] == LINES - 1
    # The one that was sent may have been in flight at the worker that died.
    assert len(simulator.log()) - QUESTIONS in (1, 2)
    check_output(asked, output_of(client, batch))


def test_both_workers_hear_of_a_pause(cluster: Cluster, simulator: SimulatorProcess) -> None:
    simulator.reset()
    one, other = cluster.apis
    client = one.client()
    asked = [chat(f"id-{i}", f"pause {i}") for i in range(1_000)]
    file = client.files.create(file=jsonl(asked), purpose="batch")
    made = client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
    until(client, made.id, lambda batch: counts(batch)[1] > 50)
    other.client().post(f"/batches/{made.id}/pause", cast_to=openai.types.Batch)
    at_reply = len(simulator.log())
    await_that(lambda: all(entry.end != "waiting" for entry in simulator.log()), "calls in flight end")
    total = len(simulator.log())
    print(f"{total - at_reply} lines were sent after the reply to the pause")
    assert total < len(asked)
    until(client, made.id, lambda batch: counts(batch)[1] == total)
    await_that(lambda: lanes_rest(client, made.id), "the shards go back")
    assert len(simulator.log()) == total
    client.post(f"/batches/{made.id}/resume", cast_to=openai.types.Batch)
    batch = finished(client, made.id, 60)
    assert counts(batch) == (1_000, 1_000, 0)
    assert sorted(entry.key for entry in simulator.log()) == sorted(each.key for each in asked)


def lanes_rest(client: openai.OpenAI, batch_id: str) -> bool:
    extension = json.loads(client.batches.retrieve(batch_id).to_json())["batchrouter"]
    return all((lane["in_flight"], lane["reason"]) == (0, "paused_by_user") for lane in extension["lanes"])


def test_all_end_in_good_order(cluster: Cluster) -> None:
    """With exit code 0."""
    cluster.stop()
    for each in cluster.all:
        assert "Traceback" not in each.log
