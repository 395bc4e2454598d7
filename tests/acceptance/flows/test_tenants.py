"""Tenants side by side: who asks for much does not hold up who asks for little."""

from __future__ import annotations

from pathlib import Path

from batchrouter.simulator import Script
from batchrouter.simulator.process import running_simulator
from batchrouter.simulator.script import Fixed
from tests.lines import chats, check_output, counts, finished, jsonl, output_of, until, upload
from tests.serving import ServerProcess, config_for, running_server

LARGE, SMALL = 1_000, 100


def test_a_small_batch_overtakes_the_large_one_of_another_tenant(tmp_path: Path) -> None:
    """One lane, room for 64 calls of 0.2 s: alone, the large batch needs 3 s. The small one has half of the lane."""
    with (
        running_simulator(Script(latency=Fixed(seconds=0.2))) as simulator,
        running_server(tmp_path, config_for(simulator.base_url, fixed_in_flight=64)) as server,
        server.client(server.key_of("greedy")) as greedy,
        server.client(server.key_of("modest")) as modest,
    ):
        large, small = chats(LARGE, "large"), chats(SMALL, "small")
        greedy_id = upload(greedy, jsonl(large)).id
        until(greedy, greedy_id, lambda batch: counts(batch)[1] > 0)
        modest_id = upload(modest, jsonl(small)).id
        asked = simulator.stats()["requests"]
        check_output(small, output_of(modest, finished(modest, modest_id)))
        meanwhile = counts(greedy.batches.retrieve(greedy_id))[1]
        print(f"{meanwhile} of {LARGE} lines of the large batch were done when the small one ended")
        assert meanwhile < LARGE / 2
        # As the upstream saw it: from when the small batch was asked for to its last line, its lines had their half,
        # but for the moment that planning takes.
        keys = {each.key for each in small}
        since = [entry.key in keys for entry in simulator.log(asked)]
        sent = len(since) - since[::-1].index(True)
        print(f"its {SMALL} lines were among {sent} that went out, the first after {since.index(True)}")
        assert sum(since) == SMALL
        assert sent <= 3 * SMALL
        batch = finished(greedy, greedy_id)
        assert counts(batch) == (LARGE, LARGE, 0)
        check_output(large, output_of(greedy, batch))


def test_a_tenant_sees_only_what_is_its_own(server: ServerProcess) -> None:
    with server.client(server.key_of("mine")) as mine, server.client(server.key_of("yours")) as yours:
        batch = finished(mine, upload(mine, jsonl(chats(2, "mine"))).id)
        assert [each.id for each in mine.batches.list()] == [batch.id]
        assert list(yours.batches.list()) == []
        assert list(yours.files.list()) == []
