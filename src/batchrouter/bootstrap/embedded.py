"""Everything but HTTP, in one process, on one data folder."""

from __future__ import annotations

import asyncio
import gc
import logging
import resource
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Self

from batchrouter.adapters.blobs import LocalBlobs
from batchrouter.adapters.clock import RealChance, RealClock
from batchrouter.adapters.folder import DataFolder
from batchrouter.adapters.http.proxied import transport_for
from batchrouter.adapters.prices import ListedPrices
from batchrouter.adapters.scratch import FolderScratch
from batchrouter.adapters.sql.store import SqlStore
from batchrouter.adapters.threads import Threads
from batchrouter.adapters.upstream_models import UpstreamModels
from batchrouter.adapters.wake import LocalWake
from batchrouter.bootstrap.model_facts import ModelFacts
from batchrouter.bootstrap.upstreams import ConfiguredUpstreams
from batchrouter.bootstrap.wiring import connections_max, engine_settings, price_sources, service_limits, upstreams_of
from batchrouter.config import Config, router_of
from batchrouter.domain.file import File
from batchrouter.domain.tenant import ApiKey
from batchrouter.engine.worker import Worker
from batchrouter.errors import BlobError
from batchrouter.ports.clock import Chance, Clock
from batchrouter.ports.transport import Transport
from batchrouter.service.quotes import Quotes
from batchrouter.service.service import Service

log = logging.getLogger(__name__)


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
            self._connections_max = connections_max(raise_file_limit())
            self._transport: Transport = transport_for(env, self._connections_max)
        except BaseException:
            self.folder.close()
            raise
        self._calls = Threads()
        self._wake = LocalWake()
        self._clearing: asyncio.Task[None] | None = None
        self.router = router_of(config)
        self.models = UpstreamModels(upstreams_of(config), self.clock)
        self._facts = ModelFacts(self.models.entries, self.clock)
        prices = ListedPrices(price_sources(config), self.clock)
        upstreams = ConfiguredUpstreams(
            config, self.router, self._transport, self._connections_max, prices, self._facts, self.clock, env
        ).for_engine()
        settings = engine_settings(config)
        self.service = Service(
            catalog=self._store.catalog,
            calls=self._calls,
            blobs=self._blobs,
            clock=self.clock,
            chance=self.chance,
            wake=self._wake,
            quotes=Quotes(
                self._blobs,
                self.router,
                upstreams.options,
                prices,
                window_s=max(config.windows_s.values()),
                margin_s=settings.overtake_margin_s,
                lanes_max=config.batches.max_lanes,
            ),
            limits=service_limits(config),
            scratch=lambda: FolderScratch(folder / "scratch"),
        )
        self.worker = Worker(
            ledger=self._store.ledger,
            jobs=self._store.jobs,
            calls=self._calls,
            blobs=self._blobs,
            wake=self._wake,
            clock=self.clock,
            chance=self.chance,
            settings=settings,
            router=self.router,
            upstreams=upstreams,
        )

    async def start(self) -> None:
        """Begin to work. To be called once."""
        # What is here now stays; a line's few objects die by their counts, so looking for cycles often is wasted.
        gc.freeze()
        gc.set_threshold(50_000, 20, 50)
        FolderScratch.clear(self.folder.path / "scratch")
        await self.service.keys.tenant()
        await self.worker.start()
        self._clearing = asyncio.create_task(self._clear())

    async def stop(self, grace_s: float) -> None:
        """Let calls finish for `grace_s`, flush, release, close."""
        await self.worker.stop(grace_s)
        await self.close()

    async def close(self) -> None:
        """Let go of everything; the worker has stopped."""
        if self._clearing is not None:
            await self._clearing
        await self._facts.aclose()
        await self.models.aclose()
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

    def hurry(self) -> None:
        """While `stop` waits for calls: end them now. What was answered is still written."""
        self.worker.hurry()

    async def forget_waits(self) -> None:
        """Set back when each lane is tried again, before `start`: whoever then reads a time to come in the row of a
        paused lane knows that this process was refused, and not an earlier one."""
        ledger = self._store.ledger
        lanes = await self._calls.read(ledger.lanes)
        await self._calls.write(ledger.note_lanes, [replace(lane, until_ms=0) for lane in lanes])

    async def index_of(self, file: File) -> AsyncIterator[bytes]:
        """The bytes of an uploaded file's line index."""
        assert file.index_key is not None
        async for data in self._blobs.stream(file.index_key, 0, await self._blobs.size(file.index_key)):
            yield data

    async def has_keys(self) -> bool:
        keys: list[ApiKey] = await self._calls.read(self._store.catalog.keys, None)
        return any(key.revoked_ms is None for key in keys)

    async def _clear(self) -> None:
        """The folder's lock proves that whoever left a write unfinished is dead."""
        try:
            cleared = await self._blobs.clear_abandoned()
        except BlobError as error:
            log.warning("unfinished writes of an earlier process could not be cleared: %s", error)
        else:
            if cleared:
                log.info("cleared %d unfinished writes of an earlier process", cleared)


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
