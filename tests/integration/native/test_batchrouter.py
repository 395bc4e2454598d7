"""Another BatchRouter is a provider like the others: its own API, asked by our own adapter."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from batchrouter.adapters.clock import RealClock
from batchrouter.adapters.native import native_api
from batchrouter.domain.job import JobPhase, ResultKind, key_line, line_key
from batchrouter.errors import NativeRefused
from batchrouter.providers.hosts import host_named
from batchrouter.providers.job_lines import job_lines
from batchrouter.simulator.process import running_simulator
from tests.integration.native.server import CHAT, TAG, draft, stream
from tests.serving import KEY, ServerProcess, config_for, running_server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with running_simulator() as simulator, running_server(tmp_path, config_for(simulator.base_url)) as running:
        yield running


async def test_a_job_runs_at_another_batchrouter(server: ServerProcess) -> None:
    """Made, found by its tag, watched, read, cancelled too late, and its files deleted."""
    host = host_named("batchrouter")
    assert host is not None
    assert host.batch is not None
    form = job_lines(host.batch)
    bodies = [{"model": "m", "messages": [{"role": "user", "content": f"number {number}"}]} for number in range(20)]
    lines = [form.write(line_key(TAG, at), CHAT, json.dumps(body).encode()) for at, body in enumerate(bodies)]
    api = native_api(
        host.batch,
        base_url=server.base_url,
        headers={"authorization": f"Bearer {KEY}"},
        clock=RealClock(),
        env={},
    )
    job = draft(lines, sent_ms=RealClock().unix_ms())
    seen = await api.submit(job, stream(lines))
    found = await api.find(job, frozenset())
    assert found is not None
    assert found.ext_id == seen.ext_id
    assert await api.find(draft(lines, tag="job_other", sent_ms=job.sent_ms), frozenset()) is None
    async with asyncio.timeout(20):
        while seen.phase is not JobPhase.ENDED:
            seen = await api.look(seen.ext_id, seen.data)
    assert (seen.completed, seen.failed, seen.total, seen.refused) == (20, 0, 20, False)
    results = {}
    async for line in api.results(seen):
        result = form.read(line)
        assert (result.kind, result.status) == (ResultKind.ANSWERED, 200)
        results[key_line(TAG, result.key)] = result.body
    assert sorted(key for key in results if key is not None) == list(range(20))
    assert all(b"number %d" % number in results[number] for number in range(20))
    assert (await api.cancel(seen.ext_id, seen.data)).phase is JobPhase.ENDED
    await api.discard(seen)
    with pytest.raises(NativeRefused):
        await anext(api.results(seen))
    await api.aclose()
