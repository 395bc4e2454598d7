"""Everything but HTTP, in one process, on one data folder."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

from batchrouter.bootstrap.engine import Engine
from batchrouter.bootstrap.providers import Providers, make_service
from batchrouter.bootstrap.storage import Storage
from batchrouter.bootstrap.webhooks import configure_webhooks
from batchrouter.config import Config
from batchrouter.domain.cost import RateCard
from batchrouter.domain.file import File
from batchrouter.domain.shard import LaneKey


class Embedded:
    """Everything but HTTP, on one locked data folder. Use as `async with`, or `start` and `stop`.

    Raises `FolderError` when another process holds the folder, `ConfigError` for a configuration that cannot be used.
    """

    def __init__(self, config: Config, folder: Path, env: Mapping[str, str]) -> None:
        self.config = config
        self._storage = Storage.on_folder(folder, env, config.storage)
        self.clock = self._storage.clock
        self._providers = Providers(config, self.clock)
        self.service = make_service(self._storage, self._providers)
        self._engine = Engine(self._storage, self._providers, env)
        self.worker = self._engine.worker

    async def start(self) -> None:
        """Begin to work. To be called once."""
        self._storage.start()
        await self.service.keys.tenant()
        await configure_webhooks(self._storage, self.config)
        await self._engine.start()

    async def stop(self, grace_s: float) -> None:
        """Let calls finish for `grace_s`, flush, release, close."""
        await self._engine.stop(grace_s)
        await self._engine.aclose()
        await self._providers.aclose()
        await self._storage.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop(self.config.server.shutdown_grace_s)

    def hurry(self) -> None:
        """While `stop` waits for calls: end them now. What was answered is still written."""
        self._engine.hurry()

    async def forget_waits(self) -> None:
        """Set back when each lane is tried again, before `start`: whoever then reads a time to come in the row of a
        paused lane knows that this process was refused, and not an earlier one."""
        storage = self._storage
        lanes = await storage.calls.read(storage.ledger.lanes)
        await storage.calls.write(storage.ledger.note_lanes, [replace(lane, until_ms=0) for lane in lanes])

    async def cards(self, lanes: Sequence[LaneKey]) -> list[RateCard | None]:
        """The price of each lane, where it is known."""
        return await self._providers.prices.cards(lanes)

    async def index_of(self, file: File) -> AsyncIterator[bytes]:
        """The bytes of an uploaded file's line index."""
        assert file.index_key is not None
        blobs = self._storage.blobs
        async for data in blobs.stream(file.index_key, 0, await blobs.size(file.index_key)):
            yield data
