"""The connections to one origin: which is idle, who waits, what opens next, what has waited too long."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import traceback
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

from batchrouter.adapters.http.connection import Connection, LaneCall
from batchrouter.errors import ConnectFailed, ConnectionLost, ReplyTimeout, TransportError

if TYPE_CHECKING:
    from batchrouter.adapters.http.room import Room
    from batchrouter.domain.origin import Origin
from batchrouter.ports.transport import LinkSettings, Sink

log = logging.getLogger(__name__)

TICK_S = 0.25
"""How often timeouts are looked at: one timer a link instead of one a call."""

RESOLVE_S = 30.0
"""How long a resolved name is used for new connections."""


class Waiting(NamedTuple):
    """A call without a connection; `turn` counts those of its link."""

    turn: int
    since_s: float
    sink: Sink
    head: bytes
    body: bytes


class DirectLink:
    """One origin's connections, straight to it. `now_s` is the loop's time at the last tick; `owes` that the next
    connection which becomes idle may be needed by another link (`pays`)."""

    def __init__(
        self, origin: Origin, settings: LinkSettings, context: ssl.SSLContext | None, buffer: memoryview, room: Room
    ) -> None:
        self.settings = settings
        self.tls = context is not None
        self.now_s = 0.0
        self.owes = False
        # Dicts for their order: the newest idle connection is used first, the oldest waiting call is served first.
        self.free: dict[Connection, None] = {}
        self.waiting: OrderedDict[LaneCall, Waiting] = OrderedDict()
        self._origin = origin
        self._context = context
        self._buffer = buffer
        self._room = room
        room.join(self)
        self._name = f"{origin.scheme}://{origin.host}:{origin.port}"
        self._connections_max = settings.max_tls_connections if self.tls else settings.max_connections
        self._opening_max = settings.tls_opening_max if self.tls else settings.max_connections
        silence_s = settings.silence_timeout_s
        self._silence_s = None if silence_s is None or silence_s >= settings.request_timeout_s else silence_s
        limits_s = (settings.request_timeout_s, settings.idle_timeout_s, self._silence_s or TICK_S * 4)
        self._tick_s = min(TICK_S, min(limits_s) / 4)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connections: set[Connection] = set()
        self._turn = 0
        self._opening = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._addresses: list[str] = []
        self._resolved_s = 0.0
        self._resolving: asyncio.Task[tuple[str, ...]] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ticking = False
        self._closed = False
        self._emptied: asyncio.Future[None] | None = None

    # The port

    @property
    def connections(self) -> int:
        return len(self._connections) + self._opening

    @property
    def idle(self) -> int:
        return len(self.free)

    def send(self, head: bytes, body: bytes, sink: Sink) -> LaneCall:
        if not self._ticking:
            self._start_ticking()
        if self.free and not self.waiting:
            connection = self.free.popitem()[0]
            call = LaneCall(connection)
            connection.start(call, sink, self.now_s, head, body)
        else:
            call = LaneCall(self)
            self._turn += 1
            self.waiting[call] = Waiting(self._turn, self.now_s, sink, head, body)
            self.pump()
        return call

    async def aclose(self) -> None:
        self._closed = True
        self._stop_ticking()
        gone = TransportError("the link was closed before the reply was whole")
        while self.waiting:
            self._give_up(next(iter(self.waiting)), gone)
        for connection in tuple(self._connections):
            connection.fail(gone)
        opening = [*self._tasks, *([self._resolving] if self._resolving is not None else [])]
        for task in opening:
            task.cancel()
        await asyncio.gather(*opening, return_exceptions=True)
        if self._connections:
            if self._emptied is None:
                self._emptied = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._emptied)

    # What connections and calls tell

    def opened(self, connection: Connection) -> None:
        """A connection stands and is idle."""
        self._opening -= 1
        self._connections.add(connection)
        if self._closed:
            connection.close()
        else:
            connection.since_s = self.now_s
            self.free[connection] = None
            self.pump()

    def closing(self, connection: Connection) -> None:
        """A connection is about to go; nothing may be sent on it any more."""
        self.free.pop(connection, None)

    def lost(self, connection: Connection) -> None:
        """A connection is gone."""
        self.free.pop(connection, None)
        self._connections.discard(connection)
        self._room.give_back()
        if self._emptied is not None and not self._connections and not self._emptied.done():
            self._emptied.set_result(None)

    def withdraw(self, call: LaneCall) -> None:
        """A waiting call was aborted."""
        self.waiting.pop(call, None)

    def tell_error(self, sink: Sink, error: TransportError) -> None:
        try:
            sink.on_error(error)
        except Exception as raised:
            self.note_sink(raised)

    def note_sink(self, error: BaseException | None) -> None:
        """A sink raised."""
        note_sink(self._name, error)

    # Serving those who wait

    def pump(self) -> None:
        """Give idle connections to the longest waiting, and open more for the rest."""
        if self._closed:
            return
        if self.waiting and self.free and not self._room.may_send():
            self._withhold()
        while self.waiting and self.free:
            call, (_, since_s, sink, head, body) = self.waiting.popitem(last=False)
            call.owner = connection = self.free.popitem()[0]
            connection.start(call, sink, since_s, head, body)
        for _ in range(self.wanted()):
            if not self._room.take(self):
                return
            self.open_one()

    def _withhold(self) -> None:
        """Nothing that waits may be sent any more."""
        for call in list(self.waiting):
            self._give_up(call, ConnectionLost("the request was not sent: its sender may send nothing at this moment"))

    def wanted(self) -> int:
        """How many more to open, by this link's own limits; none when 0 or less."""
        if self._closed:
            return 0
        wanted = min(len(self.waiting), self._opening_max) - self._opening
        return min(wanted, self._connections_max - len(self._connections) - self._opening)

    def open_one(self) -> None:
        """Begin to open a connection for which there is room."""
        self._opening += 1
        task = self._running_loop().create_task(self._open(self._turn))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def pays(self) -> bool:
        """Whether a connection that became idle just now is given up for another link."""
        return self._room.pay(self)

    async def _open(self, turn: int) -> None:
        """Open one connection; `turn` is the last call that was waiting when this began."""
        try:
            await self._connect()
        except asyncio.CancelledError:
            self._not_made()
            raise
        except Exception as error:
            self._not_made()
            self._addresses = []
            self._not_opened(turn, error)
            self.pump()

    def _not_made(self) -> None:
        self._opening -= 1
        self._room.give_back()

    def _not_opened(self, turn: int, error: Exception) -> None:
        """Fail the longest waiting call; when nothing stands, all that were waiting before the attempt began."""
        reason = str(error) or type(error).__name__
        if isinstance(error, TimeoutError):
            reason = f"no answer within {self.settings.connect_timeout_s:g} s"
        failed = ConnectFailed(f"could not connect to {self._name}: {reason}")
        failed.__cause__ = error
        due = [call for call, entry in self.waiting.items() if entry.turn <= turn]
        for call in due if not self._connections else due[:1]:
            self._give_up(call, failed)

    async def _connect(self) -> None:
        """Try the addresses of the host in turn, the one that worked last first, within the connect timeout."""
        loop = self._running_loop()
        until = loop.time() + self.settings.connect_timeout_s
        async with asyncio.timeout_at(until):
            addresses = await self._resolve()
        for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            connection = Connection(self, self._buffer)
            try:
                # An address that swallows packets must leave time for the next.
                async with asyncio.timeout_at(loop.time() + (until - loop.time()) / left):
                    await loop.create_connection(
                        lambda connection=connection: connection,
                        address,
                        self._origin.port,
                        ssl=self._context,
                        server_hostname=self._origin.host if self.tls else None,
                    )
            except (OSError, TimeoutError):
                if connection in self._connections or connection.closing:
                    return  # it stood, and was lost or late in the same tick; its own events tell the rest
                if left == 1:
                    raise
            else:
                if address in self._addresses and self._addresses[0] != address:
                    self._addresses.remove(address)
                    self._addresses.insert(0, address)
                return

    async def _resolve(self) -> tuple[str, ...]:
        """The host's addresses, looked up once for all that open at about the same time."""
        if self._addresses and self._running_loop().time() - self._resolved_s <= RESOLVE_S:
            return tuple(self._addresses)
        if self._resolving is None:
            self._resolving = self._running_loop().create_task(self._look_up())
        return await asyncio.shield(self._resolving)

    async def _look_up(self) -> tuple[str, ...]:
        loop = self._running_loop()
        try:
            found = await loop.getaddrinfo(self._origin.host, self._origin.port, type=socket.SOCK_STREAM)
            self._addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
            self._resolved_s = loop.time()
            return tuple(self._addresses)
        finally:
            self._resolving = None

    # Time

    def _start_ticking(self) -> None:
        if self._closed:
            raise TransportError(f"the link to {self._name} is closed")
        self._stop_ticking()
        loop = self._running_loop()
        self.now_s = loop.time()
        self._ticking = True
        self._timer = loop.call_later(self._tick_s, self._tick)

    def _stop_ticking(self) -> None:
        self._ticking = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        """End what has taken too long; tick on while calls are under way, else sleep until an idle one is due."""
        loop = self._running_loop()
        self.now_s = now_s = loop.time()
        # A call's start was read at the tick before it, so that it may look older than it is by one tick.
        late_s = now_s - self.settings.request_timeout_s - self._tick_s
        busy = False
        next_due_s = float("inf")
        for connection in tuple(self._connections):
            if connection.call is not None:
                busy = True
                if connection.since_s <= late_s:
                    connection.fail(ReplyTimeout(f"no whole reply within {self.settings.request_timeout_s:g} s"))
                elif self._silence_s is not None and connection.silent_s(now_s) >= self._silence_s:
                    connection.fail(ReplyTimeout(f"no byte of a reply for {self._silence_s:g} s"))
            elif now_s - connection.since_s >= connection.idle_max_s:
                connection.close()
            else:
                next_due_s = min(next_due_s, connection.since_s + connection.idle_max_s)
        self._give_up_waiting(late_s)
        if self._closed:
            return
        if self.waiting:
            # Nobody tells when another link falls idle: that would cost every reply.
            self._room.seek(self)
        if busy or self.waiting or self._opening:
            self._timer = loop.call_later(self._tick_s, self._tick)
            return
        self._stop_ticking()
        if next_due_s < float("inf"):
            self._timer = loop.call_later(max(next_due_s - now_s, self._tick_s), self._tick)

    def _give_up_waiting(self, late_s: float) -> None:
        limit_s = self.settings.request_timeout_s
        while self.waiting:
            call, entry = next(iter(self.waiting.items()))
            if entry.since_s > late_s:
                return
            self._give_up(call, ConnectFailed(f"no connection to {self._name} became free within {limit_s:g} s"))

    def _give_up(self, call: LaneCall, error: TransportError) -> None:
        """End a waiting call, if it still waits: telling one sink may have withdrawn another."""
        entry = self.waiting.pop(call, None)
        if entry is not None:
            call.owner = None
            self.tell_error(entry.sink, error)

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        return self._loop


def note_sink(origin: str, error: BaseException | None) -> None:
    """Log that a sink raised: the place and the kind, never the message, which could hold an answer."""
    frames = traceback.extract_tb(error.__traceback__) if error is not None else []
    place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "an unknown place"
    log.error("the reader of a reply from %s raised %s at %s", origin, type(error).__name__, place)
