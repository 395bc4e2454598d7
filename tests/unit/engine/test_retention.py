"""Retention: bytes stay as long as somebody needs them, and an hour longer."""

from __future__ import annotations

import pytest

from batchrouter.domain.lifecycle import BatchState
from tests.unit.engine.house import DAY_MS, House, chat, cut_ranges, echo

HOUR_S = 3600


def keys(house: House, *folders: str) -> list[str]:
    return sorted(key for key in house.blobs._blobs if key.startswith(folders))


async def test_an_input_deleted_while_its_batch_runs_stays_until_the_end() -> None:
    """The row goes at once, the bytes when the batch is final, and then an hour later."""
    house = House(lambda body: echo(body, delay_s=2.0))
    worker = await house.new_worker()
    batch_id = await house.create(chat(200))
    await house.run_for(3)
    file_id = house.batch(batch_id).input_file_id
    assert house.store.catalog.delete_file("default", file_id, house.clock.unix_ms())
    await worker.sweeper.run_once()
    await house.run(batch_id)
    assert house.batch(batch_id).completed == 200
    assert len(keys(house, "files/")) == 2
    await worker.sweeper.run_once()
    assert len(keys(house, "files/")) == 2
    house.clock.advance(HOUR_S + 1)
    assert await worker.sweeper.run_once() == 2
    assert keys(house, "files/") == []


async def test_segments_and_runs_go_when_both_files_are_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not while one of them can be read, and not within the hour in which a download may still run."""
    cut_ranges(monkeypatch, 20)
    house = House(
        lambda body: echo(body, delay_s=0.1) if b"question 1" in body else echo(body, delay_s=100.0), inline_bytes=0
    )
    worker = await house.new_worker()
    batch_id = await house.create(chat(100), window_ms=10_000)
    await house.run(batch_id)
    batch = house.batch(batch_id)
    assert batch.state is BatchState.EXPIRED
    assert len(keys(house, "runs/")) > 1
    assert len(keys(house, "segments/")) > 1
    for file_id in (batch.output_file_id, batch.error_file_id):
        house.clock.advance(2 * HOUR_S)
        await worker.sweeper.run_once()
        await house.check_whole(batch_id) if file_id == batch.output_file_id else None
        assert keys(house, "runs/", "segments/")
        assert file_id is not None
        house.store.catalog.delete_file("default", file_id, house.clock.unix_ms())
    await worker.sweeper.run_once()
    assert keys(house, "runs/", "segments/")
    house.clock.advance(HOUR_S + 1)
    await worker.sweeper.run_once()
    assert keys(house, "runs/", "segments/") == []
    assert await worker.folder.run_once() == 0


async def test_what_a_crash_left_without_a_row_goes_after_a_day_and_nothing_else() -> None:
    """Blobs that rows name are never taken for garbage, however old."""
    house = House(inline_bytes=0)
    worker = await house.new_worker()
    batch_id = await house.create(chat(30))
    await house.run(batch_id)
    await house.blobs.put("segments/lost/w-1-00000001", [b"x"])
    await house.blobs.put("runs/lost/000000-output-1", [b"x"])
    kept = [key for key in keys(house, "") if "lost" not in key]
    house.clock.advance(DAY_MS / 1000 - 60)
    assert await worker.sweeper.run_once() == 0
    house.clock.advance(120)
    assert await worker.sweeper.run_once() == 2
    assert keys(house, "") == kept
    await house.check_whole(batch_id)
