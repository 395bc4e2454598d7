"""Replays a race: what another process does between two statements of a verb, on real PostgreSQL.

The other has a store of its own and runs in a thread. The verb goes on when the other is through, or when the database
makes it wait for a lock that the verb holds; what it says is heard after the verb has ended.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import psycopg
import sqlalchemy as sa

from batchrouter.adapters.sql import SqlStore
from tests.conformance.scene import Scene

T = TypeVar("T")
DEADLINE_S = 20.0
_WAITING = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


class Heard(Generic[T]):
    """What the other did: `waited` for the verb, and its `answer` once it is through."""

    def __init__(self) -> None:
        self.came = False
        self.waited = False
        self._answer: list[T] = []
        self._error: list[BaseException] = []

    @property
    def answer(self) -> T:
        assert self.came, "the statement at which the other was to come was never made"
        if self._error:
            raise self._error[0]
        return self._answer[0]

    def run(self, action: Callable[[], T]) -> None:
        try:
            self._answer.append(action())
        except BaseException as error:
            self._error.append(error)


class Pair:
    """Two processes on one database: the `first`, whose verb is watched, and the `other`."""

    def __init__(self, first: SqlStore, other: SqlStore, watcher: psycopg.Connection[Any]) -> None:
        self.first = Scene(first)
        self.other = Scene(other)
        self._engine: sa.Engine = first._database._engine  # type: ignore[attr-defined]
        self._watcher = watcher

    def pass_time(self, ms: int) -> None:
        self.first.now += ms
        self.other.now += ms

    @contextmanager
    def at(self, statement: str, action: Callable[[], T]) -> Iterator[Heard[T]]:
        """Before the first statement that contains these words, the other acts."""
        heard: Heard[T] = Heard()
        thread = threading.Thread(target=heard.run, args=(action,), daemon=True)

        def look(connection: Any, cursor: Any, words: str, values: Any, context: Any, executemany: bool) -> None:
            if not heard.came and statement in " ".join(words.split()):
                heard.came = True
                thread.start()
                heard.waited = self._await(thread)

        sa.event.listen(self._engine, "before_cursor_execute", look)
        try:
            yield heard
        finally:
            sa.event.remove(self._engine, "before_cursor_execute", look)
            if heard.came:
                thread.join(DEADLINE_S)
                assert not thread.is_alive(), "the other never came through"

    def _await(self, thread: threading.Thread) -> bool:
        """Until the other is through, or waits for a lock."""
        deadline_s = time.monotonic() + DEADLINE_S
        while thread.is_alive():
            assert time.monotonic() < deadline_s, "the other neither came through nor waits for a lock"
            if self._watcher.execute(_WAITING).fetchone() is not None:
                return True
            thread.join(0.002)
        return False
