"""Anthropic's jobs carry no tag: what was taken for ours after a lost create may be another's, and must not suffer."""

from __future__ import annotations

import time
from pathlib import Path

from batchrouter.simulator import Match, Rule, Script, Then
from batchrouter.simulator.jobscript import Batches
from batchrouter.simulator.process import running_simulator
from tests.acceptance.flows.two_upstreams import anthropic_at, file_of, line
from tests.lines import counts, finished, upload
from tests.serving import running_server

MADE = "/v1/messages/batches"
SLOW = Batches(work_s=9, cancel_s=0.2)
LOST = Rule(match=Match(path=MADE, first=1), then=Then(status=500))
"""The first create fails without a job, in a way that does not say so."""


def test_a_cancelled_batch_does_not_take_the_job_of_another_model_with_it(tmp_path: Path) -> None:
    with running_simulator(Script(batches=SLOW)) as simulator:
        provider = anthropic_at(simulator, prices={"*": {"input": 1, "output": 2}}, mode="batch")
        with running_server(tmp_path, {"providers": {"anthropic": provider}}) as server, server.client() as client:
            other = upload(client, file_of([line(n, "claude-haiku-4-5") for n in range(12)])).id
            deadline_s = time.monotonic() + 10
            while not simulator.jobs() and time.monotonic() < deadline_s:
                time.sleep(0.05)
            simulator.set_script(Script(batches=SLOW, rules=(LOST,)))
            mine = upload(client, file_of([line(n, "claude-sonnet-4-5") for n in range(12)])).id
            # The list is asked for the job that may have been made, about 5 s after its create.
            while [entry.path for entry in simulator.log()].count(MADE) < 3 and time.monotonic() < deadline_s:
                time.sleep(0.05)
            time.sleep(0.3)
            client.batches.cancel(mine)
            assert counts(finished(client, other)) == (12, 12, 0)
            assert [entry.path for entry in simulator.log() if entry.path.endswith("/cancel")] == []
            assert len(server.ask("GET", f"/v1/batches/{other}")["batchrouter"]["jobs"]) == 1
