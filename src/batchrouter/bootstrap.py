"""Where real things are built: the only module that knows every other, the real clock and the environment.

Embedded    store, blobs, transport and one worker on a data folder: what `run` uses
Server      an `Embedded` with the HTTP API in front of it: what `serve` uses
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import logging
import os
import resource
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Self

from batchrouter.adapters.blobs import LocalBlobs
from batchrouter.adapters.clock import RealChance, RealClock
from batchrouter.adapters.folder import DataFolder, ServerNote, read_server
from batchrouter.adapters.http.proxied import transport_for
from batchrouter.adapters.scratch import FolderScratch
from batchrouter.adapters.sql.store import SqlStore
from batchrouter.adapters.threads import Threads
from batchrouter.adapters.upstream_models import Upstream, UpstreamModels
from batchrouter.adapters.wake import LocalWake
from batchrouter.api.app import create_app
from batchrouter.api.server import ApiServer
from batchrouter.api.settings import ApiSettings, ModelInfo, StaticKey
from batchrouter.config import Config, ProviderConfig
from batchrouter.domain.file import File
from batchrouter.domain.origin import Origin
from batchrouter.domain.pacing import Pacing
from batchrouter.domain.retry import RetrySettings
from batchrouter.domain.routing import RouteProvider, Router
from batchrouter.domain.shard import LaneKey
from batchrouter.domain.tenant import DEFAULT_TENANT, ApiKey, Role
from batchrouter.domain.validation import BatchLimits
from batchrouter.engine.dispatch import Connection
from batchrouter.engine.settings import EngineSettings
from batchrouter.engine.worker import Worker
from batchrouter.errors import ConfigError
from batchrouter.ports.clock import Chance, Clock
from batchrouter.ports.transport import Call, Link, LinkSettings, Sink, Transport
from batchrouter.providers.openai import OpenAIWire
from batchrouter.service.keys import Keys
from batchrouter.service.limits import ServiceLimits
from batchrouter.service.service import Service

log = logging.getLogger(__name__)

IN_FLIGHT, IN_FLIGHT_TLS = 1024, 256
FILES_APART = 256
"""File descriptors that are not upstream connections: database, blobs, clients."""


class Embedded:
    """Everything but HTTP, on one locked data folder. Use as `async with`, or `start` and `stop`.

    Raises `FolderError` when another process holds the folder, `ConfigError` for a configuration that cannot be used.
    """

    def __init__(self, config: Config, folder: Path, env: Mapping[str, str]) -> None:
        self.config = config
        self.folder = DataFolder.open(folder)
        self.clock: Clock = RealClock()
        self.chance: Chance = RealChance()
        # Durability switched off, only to measure what it costs.
        sync = env.get("BATCHROUTER_UNSAFE_NO_SYNC") != "1"
        try:
            self._store = SqlStore.open_sqlite(folder, sync=sync)
            self._blobs = LocalBlobs(folder / "blobs", sync=sync)
            self._transport: Transport = transport_for(env)
            self._nofile = raise_file_limit()
        except BaseException:
            self.folder.close()
            raise
        self._calls = Threads()
        self._wake = LocalWake()
        self.router = router_of(config)
        self.service = Service(
            catalog=self._store.catalog,
            calls=self._calls,
            blobs=self._blobs,
            clock=self.clock,
            chance=self.chance,
            wake=self._wake,
            limits=service_limits(config),
            scratch=lambda: FolderScratch(folder / "scratch"),
        )
        self.worker = Worker(
            ledger=self._store.ledger,
            calls=self._calls,
            blobs=self._blobs,
            wake=self._wake,
            clock=self.clock,
            chance=self.chance,
            settings=engine_settings(config),
            router=self.router,
            connect=self._connect,
        )

    async def start(self) -> None:
        # What is here now stays; a line's few objects die by their counts, so looking for cycles often is wasted.
        gc.freeze()
        gc.set_threshold(50_000, 20, 50)
        FolderScratch.clear(self.folder.path / "scratch")
        await self.service.keys.tenant()
        await self.worker.start()

    async def stop(self, grace_s: float) -> None:
        """Let calls finish for `grace_s`, flush, release, close."""
        await self.worker.stop(grace_s)
        await self.close()

    async def close(self) -> None:
        """Let go of everything; the worker has stopped."""
        await self._transport.aclose()
        self._calls.close()
        self._blobs.close()
        self._store.close()
        self.folder.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop(self.config.server.shutdown_grace_s)

    async def has_keys(self) -> bool:
        keys: list[ApiKey] = await self._calls.read(self._store.catalog.keys, None)
        return any(key.revoked_ms is None for key in keys)

    def _connect(self, key: LaneKey) -> Connection:
        provider = self.config.providers.get(key.provider)
        if provider is None:
            raise ConfigError(f"provider '{key.provider}' is no longer configured")
        return connection(key, provider, self.config, self._transport, self._nofile)


@dataclass(frozen=True, slots=True)
class Ready:
    """What a server tells when it is up. `first_key`: made because there was none, told this once."""

    url: str
    folder: Path
    first_key: str | None
    providers: tuple[str, ...]


class Server:
    """An `Embedded` behind its HTTP API."""

    def __init__(self, config: Config, folder: Path, env: Mapping[str, str]) -> None:
        self._embedded = Embedded(config, folder, env)
        self._env_key = env.get("BATCHROUTER_API_KEY") or None
        self._token = self._embedded.chance.token(40)
        self._models = UpstreamModels(upstreams_of(config), self._embedded.clock)
        self._api: ApiServer | None = None

    async def start(self, host: str, port: int) -> Ready:
        embedded = self._embedded
        await embedded.start()
        first_key = None
        if self._env_key is None and not await embedded.has_keys():
            _, first_key = await embedded.service.keys.create(DEFAULT_TENANT, Role.USER, "made at the first start")
        static = [StaticKey(self._token, Role.ADMIN, key_id="folder")]
        if self._env_key is not None:
            static.append(StaticKey(self._env_key, Role.USER, key_id=_env_key_id(self._env_key)))
        settings = ApiSettings(static_keys=tuple(static), version=version("batchrouter"))
        self._api = ApiServer(create_app(embedded.service, self._list_models, settings), settings)
        port = await self._api.start(host, port)
        shown = "127.0.0.1" if host in ("0.0.0.0", "::", "") else host
        url = f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"
        embedded.folder.announce(ServerNote(url, os.getpid(), self._token))
        return Ready(url, embedded.folder.path, first_key, tuple(embedded.config.providers))

    async def stop(self, grace_s: float) -> None:
        """Refuse new work and end waiting requests; let calls and downloads finish for `grace_s`; then close."""
        api = self._api
        if api is not None:
            api.begin_shutdown()
            await asyncio.gather(self._embedded.worker.stop(grace_s), api.stop(grace_s))
        else:
            await self._embedded.worker.stop(grace_s)
        await self._models.aclose()
        await self._embedded.close()

    async def _list_models(self) -> list[ModelInfo]:
        config = self._embedded.config
        return [ModelInfo(name, provider) for name, provider in await self._models.names(config.models)]


def connection(key: LaneKey, provider: ProviderConfig, config: Config, transport: Transport, nofile: int) -> Connection:
    """How one lane reaches its provider. Lanes share no connections, so that none can take another's."""
    assert provider.base_url is not None  # filled in when the configuration was read
    wire = OpenAIWire(
        provider.base_url,
        key.model,
        api_key=provider.api_key,
        headers=provider.headers,
        verify_tls=provider.verify_tls,
        ca_file=provider.ca_file,
    )
    tls = wire.origin.scheme == "https"
    wanted = provider.fixed_in_flight or provider.max_in_flight or (IN_FLIGHT_TLS if tls else IN_FLIGHT)
    most = max(16, min(wanted, nofile - FILES_APART))
    settings = LinkSettings(
        name=f"{key.provider}/{key.model}",
        connect_timeout_s=provider.connect_timeout,
        request_timeout_s=provider.timeout,
        max_reply_bytes=config.batches.max_reply_bytes,
        max_connections=most,
        max_tls_connections=most,
    )
    pacing = Pacing(
        max_in_flight=most,
        start_in_flight=min(provider.start_in_flight, most),
        fixed_in_flight=None if provider.fixed_in_flight is None else min(provider.fixed_in_flight, most),
        rpm=provider.rpm,
        tpm=provider.tpm,
    )
    return Connection(wire, transport.link(wire.origin, settings), pacing)


def router_of(config: Config) -> Router:
    return Router(
        [RouteProvider(name, each.type, each.models, each.aggregator) for name, each in config.providers.items()],
        config.models,
        config.default_provider,
    )


def upstreams_of(config: Config) -> dict[str, Upstream]:
    return {
        name: Upstream(
            base_url=each.base_url or "",
            api_key=each.api_key,
            headers=each.headers,
            verify_tls=each.verify_tls,
            models=each.models,
        )
        for name, each in config.providers.items()
    }


def batch_limits(config: Config) -> BatchLimits:
    batches = config.batches
    return BatchLimits(batches.max_lines, batches.max_bytes, batches.max_embedding_inputs, batches.max_lanes)


def service_limits(config: Config) -> ServiceLimits:
    windows = config.windows_s
    return ServiceLimits(
        batch_max_bytes=config.batches.max_bytes,
        max_upload_bytes=max(ServiceLimits().max_upload_bytes, config.batches.max_bytes),
        max_line_bytes=config.batches.max_line_bytes,
        completion_windows=windows,
        default_window="24h" if "24h" in windows else next(iter(windows)),
        endpoints=config.endpoints,
    )


def engine_settings(config: Config) -> EngineSettings:
    return EngineSettings(
        budget_bytes=config.batches.memory_bytes,
        shutdown_grace_s=config.server.shutdown_grace_s,
        limits=batch_limits(config),
        retry=RetrySettings(max_attempts=config.batches.max_attempts),
    )


def raise_file_limit() -> int:
    """Raise the soft limit of open files to the hard one; returns what holds now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = hard if hard != resource.RLIM_INFINITY else 1 << 20
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
        except (OSError, ValueError) as error:  # macOS refuses some values
            log.warning("the limit of open files stays at %d: %s", soft, error)
    return soft if soft != resource.RLIM_INFINITY else wanted


def _env_key_id(key: str) -> str:
    """Tells keys of the environment apart over restarts without telling them."""
    return f"env-{hashlib.sha256(key.encode()).hexdigest()[:12]}"


# --- for the command line -------------------------------------------------------------------------------------------


class Tally:
    """Calls that one `Embedded` has sent, and the most that were in flight at once."""

    def __init__(self) -> None:
        self.calls = 0
        self.peak = 0


class _TalliedLink:
    def __init__(self, link: Link, tally: Tally, in_flight: Callable[[], int]) -> None:
        self._link = link
        self._tally = tally
        self._in_flight = in_flight

    @property
    def connections(self) -> int:
        return self._link.connections

    @property
    def idle(self) -> int:
        return self._link.idle

    def send(self, head: bytes, body: bytes, sink: Sink) -> Call:
        tally = self._tally
        tally.calls += 1
        tally.peak = max(tally.peak, self._in_flight())
        return self._link.send(head, body, sink)

    async def aclose(self) -> None:
        await self._link.aclose()


class _TalliedTransport:
    def __init__(self, transport: Transport, tally: Tally, in_flight: Callable[[], int]) -> None:
        self._transport = transport
        self._tally = tally
        self._in_flight = in_flight

    def link(self, origin: Origin, settings: LinkSettings) -> Link:
        return _TalliedLink(self._transport.link(origin, settings), self._tally, self._in_flight)

    async def aclose(self) -> None:
        await self._transport.aclose()


def tally_calls(embedded: Embedded) -> Tally:
    """Count from now on; before `start`, so that no lane has its link yet."""
    tally = Tally()
    # The worker may begin a new incarnation, with another dispatcher.
    embedded._transport = _TalliedTransport(embedded._transport, tally, lambda: embedded.worker.dispatcher.in_flight)
    return tally


async def forget_waits(embedded: Embedded) -> None:
    """Set back when each lane is tried again, before `start`: whoever reads a time to come, or none, in the row of a
    paused lane then knows that this process was refused, and not an earlier one."""
    ledger = embedded._store.ledger
    lanes = await embedded._calls.read(ledger.lanes)
    await embedded._calls.write(ledger.note_lanes, [replace(lane, until_ms=0) for lane in lanes])


async def index_of(embedded: Embedded, file: File) -> AsyncIterator[bytes]:
    """The bytes of an uploaded file's line index."""
    assert file.index_key is not None
    async for data in embedded._blobs.stream(file.index_key, 0, await embedded._blobs.size(file.index_key)):
        yield data


def cut_short(running: Embedded | Server) -> None:
    """While `stop` waits for calls: end them now. What was answered is still written."""
    embedded = running._embedded if isinstance(running, Server) else running
    embedded.worker.dispatcher.drop_all()


@asynccontextmanager
async def keys_of(folder: Path) -> AsyncIterator[Keys]:
    """The keys of a folder that no server holds. Raises `FolderError` when one does."""
    held = DataFolder.open(folder)
    try:
        store = SqlStore.open_sqlite(folder)
        calls = Threads()
        try:
            yield Keys(store.catalog, calls, RealClock(), RealChance())
        finally:
            calls.close()
            store.close()
    finally:
        held.close()


def server_of(folder: Path) -> ServerNote | None:
    """Who serves the folder, as far as its note says."""
    return read_server(folder)


@contextmanager
def holding(folder: Path) -> Iterator[None]:
    """The folder's lock, for as long as the block runs. Raises `FolderError`."""
    held = DataFolder.open(folder)
    try:
        yield
    finally:
        held.close()


def scratch_in(folder: Path) -> FolderScratch:
    """Room for comparing the ids of a long input; close it."""
    return FolderScratch(folder)


def real_clock() -> Clock:
    return RealClock()
