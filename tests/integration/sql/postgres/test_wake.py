"""Hints between processes, and what a lost connection costs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import psycopg
import pytest

from batchrouter.adapters.sql.wake import PostgresWake
from tests.postgres import PostgresServer, fresh_database

LONG_S = 60.0


@pytest.fixture(scope="module")
def url() -> str:
    return fresh_database()


@pytest.fixture
def wakes(url: str) -> Iterator[tuple[PostgresWake, PostgresWake]]:
    """Of two processes."""
    made = PostgresWake(url), PostgresWake(url)
    for wake in made:
        assert wake.listening(20)
        asyncio.run(wake.wait(0))
    yield made
    for wake in made:
        wake.close()
        wake.close()


async def test_a_hint_reaches_every_process(wakes: tuple[PostgresWake, PostgresWake]) -> None:
    """Whoever waits in another, and once in one's own."""
    mine, other = wakes
    waiting = asyncio.create_task(other.wait(LONG_S))
    await asyncio.sleep(0)
    mine.hint()
    assert await waiting
    assert await mine.wait(LONG_S)
    other.hint()  # comes after one's own NOTIFY: by then that was heard, and was no hint
    assert await mine.wait(LONG_S)
    assert await other.wait(LONG_S)
    assert not await mine.wait(0)


async def test_many_hints_at_once_are_few_notes(wakes: tuple[PostgresWake, PostgresWake], url: str) -> None:
    """A NOTIFY makes every process look."""
    mine, _ = wakes
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("LISTEN batchrouter")
        for _ in range(500):
            mine.hint()
        notes = [note async for note in _notes(connection)]
    assert 1 <= len(notes) <= 20


async def _notes(connection: psycopg.Connection[object]):  # type: ignore[no-untyped-def]
    """Until none came for a while."""
    while found := await asyncio.to_thread(lambda: list(connection.notifies(timeout=0.5, stop_after=1))):
        yield found[0]


def test_a_lost_connection_costs_only_the_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hints go on in the process; others hear them again once the server is back, and at once that they may have
    missed one."""
    monkeypatch.setattr("batchrouter.adapters.sql.wake._PAUSES_S", (0.02,))
    server = PostgresServer()
    server.start()
    mine, other = PostgresWake(server.url()), PostgresWake(server.url())
    try:
        assert mine.listening(20)
        assert other.listening(20)
        asyncio.run(mine.wait(0))
        asyncio.run(other.wait(0))
        server.stop("immediate")
        mine.hint()
        assert asyncio.run(mine.wait(LONG_S))
        server.start()
        assert asyncio.run(other.wait(LONG_S))  # it listens again; what mine hinted meanwhile may be lost
        assert mine.listening(20)
        mine.hint()
        assert asyncio.run(other.wait(LONG_S))
    finally:
        mine.close()
        other.close()
        server.remove()


def test_closing_does_not_wait_for_a_server_that_is_away() -> None:
    """Nor does a hint; both are harmless afterwards."""
    wake = PostgresWake("postgresql://postgres@127.0.0.1:1/nothing")
    wake.hint()
    closing = threading.Thread(target=wake.close, daemon=True)
    closing.start()
    closing.join(20)
    assert not closing.is_alive()
    wake.hint()
    assert asyncio.run(wake.wait(LONG_S))
