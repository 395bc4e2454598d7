"""Wake between processes: NOTIFY on one side, LISTEN on the other.

One connection and one thread for a process. A hint wakes whoever waits here at once, and the others by way of the
database. While the connection is away hints reach nobody else, and everybody polls; that is all it costs.
"""

from __future__ import annotations

import select
import socket
import threading
from typing import TYPE_CHECKING, Any

from batchrouter.adapters.sql.postgres import Link
from batchrouter.adapters.wake import LocalWake

if TYPE_CHECKING:
    import psycopg

_CHANNEL = "batchrouter"
_PAUSES_S = (0.2, 1.0, 2.0, 5.0)
"""Between tries to connect; the last one from then on."""
_GATHER_S = 0.02
"""Hints that come together go out as one: a NOTIFY makes each listener look, and commits one after the other."""


class PostgresWake:
    """`ports.wake.Wake` for the processes of one database."""

    def __init__(self, url: str) -> None:
        """Connects in the background. Raises ConfigError for a URL that is none."""
        self._link = Link(url)
        self._local = LocalWake()
        self._connected = threading.Event()
        self._lock = threading.Lock()
        self._hinted = False
        self._closing = threading.Event()
        self._ours, self._theirs = socket.socketpair()  # the thread waits for this and for the database at once
        self._ours.setblocking(False)
        self._thread = threading.Thread(target=self._run, name="store-wake", daemon=True)
        self._thread.start()

    def hint(self) -> None:
        self._local.hint()
        with self._lock:
            if self._hinted or self._closing.is_set():
                return
            self._hinted = True
            self._ours.send(b"h")

    async def wait(self, timeout_s: float) -> bool:
        return await self._local.wait(timeout_s)

    def listening(self, timeout_s: float) -> bool:
        """Whether the hints of others arrive; waits for it. For tests and for whoever watches."""
        return self._connected.wait(timeout_s)

    def close(self) -> None:
        """Who waits goes on to wait. A repeat changes nothing."""
        with self._lock:
            if self._closing.is_set():
                return
            self._closing.set()
            self._ours.send(b"c")
        self._thread.join()
        self._ours.close()
        self._theirs.close()

    def _run(self) -> None:
        from psycopg import Error

        tries = 0
        while not self._closing.is_set():
            try:
                with self._link.connect(autocommit=True) as connection:
                    connection.execute(f"LISTEN {_CHANNEL}")
                    tries = 0
                    self._connected.set()
                    self._local.hint()  # for what was hinted while nobody listened
                    self._listen(connection)
            except (Error, OSError):
                self._connected.clear()
                self._closing.wait(_PAUSES_S[min(tries, len(_PAUSES_S) - 1)])
                tries += 1

    def _listen(self, connection: psycopg.Connection[Any]) -> None:
        own = connection.info.backend_pid
        while not self._closing.is_set():
            readable, _, _ = select.select([connection.fileno(), self._theirs.fileno()], [], [])
            if self._theirs.fileno() in readable:
                self._closing.wait(_GATHER_S)
                with self._lock:
                    self._hinted = False
                    self._theirs.recv(64)
                connection.execute(f"NOTIFY {_CHANNEL}")
            if any(note.pid != own for note in list(connection.notifies(timeout=0))):
                self._local.hint()
