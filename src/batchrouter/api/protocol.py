"""HTTP/1.1 as uvicorn speaks it on h11, with limits on time.

On h11 because uvicorn's other parser answers an `Upgrade: h2c` upload (Java's HttpClient by default) as if its body
were empty. uvicorn itself waits for ever for a head or a body: here whoever sends too slowly is told so (408) and
let go.
"""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from h11._readers import ContentLengthReader
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol
from uvicorn.server import ServerState

from batchrouter.api.context import Door
from batchrouter.api.replies import bad_request, error_body, stopping, too_slow
from batchrouter.api.settings import ApiSettings
from batchrouter.errors import ApiError

DRAIN_BYTES = 1024**3
"""A client that goes on sending after it was refused may finish, so that it reads the answer; up to this."""

HEAD = "head"
BODY = "body"


class TimedProtocol(H11Protocol):
    """Two clocks. The head must be whole within `header_timeout_s` of the connection, or of its first byte on a kept
    connection. While a body is awaited, each `body_timeout_s` must bring `body_min_bytes`; time in which the server
    itself does not read does not count."""

    def __init__(self, door: Door, config: Config, server_state: ServerState) -> None:
        super().__init__(config, server_state, {})
        self._sign = door.signature
        self._settings = door.settings
        self._phase: str | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._window_bytes = 0
        self._paused_in_window = False
        self._refused_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self._settings.max_connections:
            self._end(stopping(self._settings.retry_after_s))
            return
        self._enter(HEAD)

    def data_received(self, data: bytes) -> None:
        self._window_bytes += len(data)
        if self._phase is BODY and self._passed_by(data):
            return
        super().data_received(data)
        if self.flow.read_paused:
            self._paused_in_window = True
        self._enter(self._phase_now())
        if self._phase is BODY and self.cycle.response_complete:
            self._refused_bytes += len(data)
            if self._refused_bytes > DRAIN_BYTES:
                self.transport.close()

    def _passed_by(self, data: bytes) -> bool:
        """Hand bytes in the middle of a body of known length to the application as they are. False: h11 must see them.

        h11 and uvicorn copy each of them five times, a third of what an upload costs. The last bytes go through h11,
        which so ends the request itself.
        """
        cycle, reader = self.cycle, self.conn._reader
        if (
            not isinstance(reader, ContentLengthReader)
            or len(data) >= reader._remaining
            or cycle.response_complete
            or self.conn.trailing_data[0]
        ):
            return False
        reader._remaining -= len(data)
        cycle.body = cycle.body + data if cycle.body else data  # type: ignore[assignment]
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
            self._paused_in_window = True
        cycle.message_event.set()
        return True

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._enter(self._phase_now())

    def connection_lost(self, exc: Exception | None) -> None:
        self._enter(None)
        super().connection_lost(exc)

    def end_waiting(self, error: ApiError) -> None:
        """The server stops: idle connections close, a request whose body is still awaited is answered with `error`,
        and one that is being answered may finish."""
        if self._phase is BODY and not self.cycle.response_started:
            self._end(error)
        else:
            self.shutdown()

    def _phase_now(self) -> str | None:
        state = self.conn.their_state
        if self.transport.is_closing():
            return None
        if state is h11.SEND_BODY:
            return BODY
        if state is h11.IDLE and self.conn.trailing_data[0]:
            return HEAD
        return None

    def _enter(self, phase: str | None) -> None:
        if phase == self._phase:
            return
        self._phase = phase
        self._refused_bytes = 0
        self._restart(None)
        if phase is HEAD:
            self._restart(self._settings.header_timeout_s)
        elif phase is BODY:
            self._restart(self._settings.body_timeout_s)

    def _restart(self, seconds: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._window_bytes = 0
        self._paused_in_window = self.flow.read_paused
        self._timer = None if seconds is None else self.loop.call_later(seconds, self._time_is_up)

    def _time_is_up(self) -> None:
        enough = self._window_bytes >= self._settings.body_min_bytes or self._paused_in_window
        if self._phase is BODY and enough:
            self._restart(self._settings.body_timeout_s)
        else:
            self._end(too_slow())

    def _end(self, error: ApiError) -> None:
        """Answer if an answer can still be given, and close. The application sees a client that went away."""
        began = self.conn.their_state is h11.SEND_BODY or bool(self.conn.trailing_data[0])
        answered = self.cycle is not None and self.cycle.response_started and self._phase is BODY
        if began and not answered:
            if self._phase is BODY:
                self.cycle.disconnected = True
                self.cycle.message_event.set()
            self._answer(error)
        self.transport.close()

    def _answer(self, error: ApiError) -> None:
        body = error_body(error)
        headers = {
            "content-type": "application/json",
            "content-length": str(len(body)),
            **error.headers,
            **self._sign(),
        }
        response = h11.Response(
            status_code=error.status, headers=list(headers.items()), reason=STATUS_PHRASES[error.status]
        )
        for event in (response, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")

    def send_400_response(self, msg: str) -> None:
        """What is not HTTP gets the shape of all errors, where h11 still lets us answer."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._answer(bad_request("This is not a valid HTTP/1.1 request."))
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()

    def _should_upgrade(self) -> bool:
        """Never: an offer to upgrade is ignored, as RFC 9110 allows, and without a word in the log for each.

        Asked once for each request, before the application sees it.
        """
        names = {name for name, _ in self.headers}
        if b"transfer-encoding" in names and b"content-length" in names:
            # Who forwards it may take the length for the truth and what we see behind the chunks for a part of this
            # body: so there is no next request on this connection (RFC 9112, section 6.3).
            self.conn._cstate.process_keep_alive_disabled()
        return False


def config_for(app: Any, settings: ApiSettings) -> Config:
    """What of uvicorn's configuration the protocol reads."""
    config = Config(
        app,
        http=TimedProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=int(settings.keep_alive_s),
        h11_max_incomplete_event_size=64 * 1024,
    )
    config.load()
    return config
