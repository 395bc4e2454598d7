"""A real server on a real socket, in a thread of its own, over stores in memory or in a folder. No engine: tests move
batches by hand, through the same `Ledger` that an engine would use."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

from batchrouter.adapters.blobs import LocalBlobs, MemoryBlobs
from batchrouter.adapters.clock import RealChance, RealClock
from batchrouter.adapters.memory import MemoryStore
from batchrouter.adapters.sql.store import SqlStore
from batchrouter.adapters.threads import InlineCalls, Threads
from batchrouter.adapters.wake import LocalWake
from batchrouter.api.app import create_app
from batchrouter.api.context import Door
from batchrouter.api.server import ApiServer
from batchrouter.api.settings import ApiSettings, ModelInfo, StaticKey
from batchrouter.domain.cost import RateCard
from batchrouter.domain.lane_choice import LaneOptions
from batchrouter.domain.routing import RouteProvider, Router
from batchrouter.domain.shard import LaneKey
from batchrouter.domain.tenant import Role
from batchrouter.domain.validation import BatchLimits
from batchrouter.domain.webhook_url import OPEN_URLS, UrlRules
from batchrouter.ports.prices import Prices
from batchrouter.service.checks import Checks
from batchrouter.service.limits import ServiceLimits
from batchrouter.service.providers import ProviderBook, ProviderFacts
from batchrouter.service.quotes import Quotes
from batchrouter.service.service import Service

T = TypeVar("T")

USER_KEY = "sk-user-0123456789"
ADMIN_KEY = "sk-admin-0123456789"
MODELS = (ModelInfo("gpt-4.1-nano", "openai", 1_700_000_000), ModelInfo("Qwen/Qwen2.5-7B", "local"))


class NoPrices:
    async def cards(self, keys: Sequence[LaneKey]) -> list[RateCard | None]:
        return [None] * len(keys)


PROVIDERS = [
    ProviderFacts(name=name, type="openai", base_url=f"http://{name}/v1", models=(), default=name == "sim", keyed=True)
    for name in ("sim", "other")
]


class Rig:
    """`url` is the server's root; everything it is built from is at hand for tests. With a `folder` the stores are the
    real ones: SQLite and files."""

    def __init__(
        self,
        *,
        limits: ServiceLimits | None = None,
        models: Sequence[ModelInfo] = MODELS,
        room_bytes: int | None = None,
        folder: Path | None = None,
        prices: Prices | None = None,
        webhook_urls: UrlRules = OPEN_URLS,
        **settings: Any,
    ) -> None:
        router = Router([RouteProvider("sim", "openai"), RouteProvider("other", "openai")], {}, "sim")
        options = LaneOptions(batch=True, endpoints=("/v1/chat/completions",))
        self.clock = RealClock()
        self.chance = RealChance()
        self.store: MemoryStore | SqlStore
        self.blobs: MemoryBlobs | LocalBlobs
        self._calls: InlineCalls | Threads
        if folder is None:
            self.store, self._calls = MemoryStore(), InlineCalls()
            self.blobs = MemoryBlobs(self.clock, room_bytes)
        else:
            self.store, self._calls = SqlStore.open_sqlite(folder), Threads()
            self.blobs = LocalBlobs(folder / "blobs")
        self.wake = LocalWake()
        self.settings = ApiSettings(
            static_keys=(
                StaticKey(USER_KEY, key_id="env"),
                StaticKey(ADMIN_KEY, role=Role.ADMIN, key_id="folder"),
            ),
            **settings,
        )
        self.service = Service(
            catalog=self.store.catalog,
            results=self.store.results,
            calls=self._calls,
            blobs=self.blobs,
            clock=self.clock,
            chance=self.chance,
            wake=self.wake,
            quotes=Quotes(self.blobs, router, lambda provider, model: options, prices or NoPrices()),
            checks=Checks(self.blobs, router, lambda provider, model: options, BatchLimits()),
            providers=ProviderBook(PROVIDERS, self.store.backlogs, self._calls, self.clock),
            webhooks=self.store.webhooks,
            webhook_urls=webhook_urls,
            limits=limits,
        )

        async def listed() -> list[ModelInfo]:
            return list(models)

        self.door = Door(self.settings, self.clock, self.chance)
        self.app = create_app(self.door, self.service, listed)
        self.server = ApiServer(self.door, self.app)
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="server")

    def __enter__(self) -> Rig:
        self._thread.start()
        self.run(self.service.keys.tenant())
        self.port = self.run(self.server.start("127.0.0.1", 0))
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self.server.stop(0.0))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._calls.close()
        if isinstance(self.blobs, LocalBlobs):
            self.blobs.close()
        self.store.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Carry out `work` on the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def call(self, action: Callable[[], object]) -> None:
        self._loop.call_soon_threadsafe(action)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def key(self, tenant: str) -> str:
        """A new user key of that tenant."""
        return self.run(self.service.keys.create(tenant))[1]
