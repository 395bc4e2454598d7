"""The simulator: an HTTP/1.1 server that plays the API of a model provider, well or badly as its script says."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from batchrouter.errors import ConfigError
from batchrouter.simulator import control
from batchrouter.simulator.answers import ENDPOINTS, expected_key
from batchrouter.simulator.anthropic.batches import BATCHES, MessageBatches
from batchrouter.simulator.behaviour import Behaviour
from batchrouter.simulator.connection import Arrived, Connection
from batchrouter.simulator.desk import Desk
from batchrouter.simulator.jobbook import JobBook
from batchrouter.simulator.log import WAITING, Entry, LogFile, RequestLog
from batchrouter.simulator.native.apis import NativeApis
from batchrouter.simulator.native.dialects import BatchDialect
from batchrouter.simulator.refusals import Refusals, speaks_anthropic
from batchrouter.simulator.reply import Reply
from batchrouter.simulator.request import Request
from batchrouter.simulator.script import Script

BACKLOG = 4096
LOG_FLUSH_S = 0.05


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What stays as it is while the simulator runs. `models` are globs; with none, every model is served."""

    api_key: str | None = None
    models: tuple[str, ...] = ()
    log_path: str | Path | None = None
    log_limit: int = 1_000_000
    keep_bodies: bool = False
    certfile: str | None = None
    keyfile: str | None = None
    batch_dialect: BatchDialect = "openai"
    """Whose files and batches stand under `/v1`, where several providers' paths are the same."""


class Simulator:
    """Start it inside a running event loop. `unix_s` is the wall clock, asked only for dates that are told."""

    loop: asyncio.AbstractEventLoop
    log: RequestLog
    desk: Desk
    behaviour: Behaviour

    def __init__(
        self,
        script: Script | None = None,
        settings: Settings | None = None,
        *,
        unix_s: Callable[[], float] = time.time,  # noqa: TID251 - a server of its own; tests give another
    ) -> None:
        self.settings = settings or Settings()
        self.connections: set[Connection] = set()
        self.jobs = JobBook()
        self._message_batches = MessageBatches(self)
        self.native = NativeApis(self)
        self.in_flight = 0
        self._script = script or Script()
        self.unix_s = unix_s
        self._bearer = f"Bearer {self.settings.api_key}".encode() if self.settings.api_key else None
        self._connected = 0
        self._file: LogFile | None = None
        self._server: asyncio.Server | None = None
        self._all_gone = asyncio.Event()
        self._address = ("", 0)

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> int:
        """Listen; returns the port. Raises ConfigError when certificate or log file cannot be used, or OSError."""
        tls = self._tls()
        self.loop = asyncio.get_running_loop()
        self.reset()
        if self.settings.log_path is not None:
            try:
                self._file = LogFile(self.settings.log_path)
            except OSError as error:
                raise ConfigError(f"the simulator's log file cannot be written: {error}") from error
        self._server = await self.loop.create_server(self._connect, host, port, ssl=tls, backlog=BACKLOG)
        self._address = (host, self._server.sockets[0].getsockname()[1])
        return self._address[1]

    async def stop(self) -> None:
        """Close the door and every connection, and finish the log file. A second call does nothing."""
        server, self._server = self._server, None
        self._all_gone.clear()
        if server is None:
            return
        self.jobs.clear()
        server.close()
        for connection in list(self.connections):
            connection.transport.abort()
        await server.wait_closed()
        if self.connections:
            await self._all_gone.wait()
        if self._file is not None:
            self._file.close()
            self._file = None

    @property
    def url(self) -> str:
        """Where it listens, without `/v1`."""
        host, port = self._address
        name = f"[{host}]" if ":" in host else host
        return f"{'https' if self.settings.certfile else 'http'}://{name}:{port}"

    @property
    def script(self) -> Script:
        return self._script

    @script.setter
    def script(self, script: Script) -> None:
        """Takes effect for the next request; counters, buckets and time windows begin anew."""
        self._script = script
        self.behaviour = Behaviour(script, self.settings.models, self.loop.time(), self.unix_s)
        self.desk = Desk(script.batches)

    def reset(self) -> None:
        """An empty log, its clock at 0, no jobs, no files, and the script from its beginning.

        What is in flight goes on.
        """
        self.jobs.clear()
        self.native.clear()
        self.log = RequestLog(self.settings.log_limit, self.loop.time())
        self.log.in_flight_max = self.in_flight
        self.script = self._script

    def stats(self) -> dict[str, object]:
        return {**self.log.stats(), "in_flight": self.in_flight, "connections": len(self.connections)}

    # --- the connections' side --------------------------------------------------------------------------------------

    def receive(self, connection: int, request: int, arrived: Arrived, url: str) -> tuple[Reply, Entry]:
        """Decide what a request gets and enter it in the log. `request` counts those of its connection from 1."""
        now_s = self.loop.time()
        self.in_flight += 1
        path, _, query = url.partition("?")
        key = expected_key(arrived.body)
        reply = self._decide(arrived, path, query, key, now_s)
        log = self.log
        log.requests += 1
        entry = Entry(
            n=log.requests,
            ms=round((now_s - log.begun_s) * 1000, 3),
            connection=connection,
            request=request,
            path=path,
            model=reply.model,
            status=0,
            key=key,
            prompt_tokens=reply.prompt_tokens,
            completion_tokens=reply.completion_tokens,
            in_flight=self.in_flight,
            end=WAITING,
            fault=reply.fault,
        )
        if self.settings.keep_bodies:
            entry.headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in arrived.headers}
            entry.text = arrived.body.decode("utf-8", "replace")
        log.add(entry)
        return reply, entry

    def done(self, log: RequestLog, entry: Entry, end: str, status: int) -> None:
        """`log` is the one that the entry was made in; a reset may have put another in its place."""
        self.in_flight -= 1
        log.end(entry, end, status, self.loop.time())
        self._note(entry)

    def _note(self, entry: Entry) -> None:
        if self._file is not None and self._file.note(entry):
            self.loop.call_later(LOG_FLUSH_S, self._flush)

    def ran(self, job: str, custom_id: str, path: str, key: str, body: bytes, reply: Reply) -> None:
        """Enter a line that a batch ran by itself."""
        text = body.decode("utf-8", "replace") if self.settings.keep_bodies else None
        entry = self.log.ran(
            job,
            custom_id,
            path,
            key,
            reply.model,
            reply.status,
            self.loop.time(),
            prompt_tokens=reply.prompt_tokens,
            completion_tokens=reply.completion_tokens,
            text=text,
        )
        self._note(entry)

    def forget(self, connection: Connection) -> None:
        self.connections.discard(connection)
        if not self.connections:
            self._all_gone.set()

    def control(self, method: str, url: str, body: bytes) -> Reply:
        return control.handle(self, method, url, body)

    def _decide(self, arrived: Arrived, path: str, query: str, key: str, now_s: float) -> Reply:
        number = self.log.requests + 1
        request = Request(arrived.method, path, key, arrived.body, query, arrived.headers, False, number)
        if path not in ENDPOINTS and self.native.knows(path):
            return self.native.reply(arrived, request, self.in_flight, now_s)
        if self._bearer is not None and not self._is_authorized(request):
            message = "Incorrect API key provided: it is not the key that this simulator was started with."
            return Refusals("seconds", self.unix_s).made(request, 401, "", message=message)
        if path not in ENDPOINTS and (path == BATCHES or path.startswith(f"{BATCHES}/")):
            return self.behaviour.around(request, now_s, lambda: self._message_batches.handle(request, now_s))
        return self.behaviour.decide(request, self.in_flight, now_s)

    def _is_authorized(self, request: Request) -> bool:
        """The key as a bearer's token; Anthropic's own header for it is `x-api-key`."""
        if any(value == self._bearer for name, value in request.headers if name.lower() == b"authorization"):
            return True
        return speaks_anthropic(request) and request.header("x-api-key") == self.settings.api_key

    def _connect(self) -> Connection:
        self._connected += 1
        return Connection(self, self._connected)

    def _flush(self) -> None:
        if self._file is not None:
            self._file.write()

    def _tls(self) -> ssl.SSLContext | None:
        if self.settings.certfile is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(self.settings.certfile, self.settings.keyfile)
        except OSError as error:  # ssl.SSLError is one
            raise ConfigError(f"the certificate {self.settings.certfile} or its key cannot be used: {error}") from error
        return context
