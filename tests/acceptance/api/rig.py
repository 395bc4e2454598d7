"""A real server on a real socket, in a thread of its own, over stores in memory. No engine: tests move batches by
hand, through the same `Ledger` that an engine would use."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, ParamSpec, TypeVar

from batchrouter.adapters.blobs import MemoryBlobs
from batchrouter.adapters.clock import RealChance, RealClock
from batchrouter.adapters.memory import MemoryStore
from batchrouter.adapters.wake import LocalWake
from batchrouter.api.app import create_app
from batchrouter.api.server import ApiServer
from batchrouter.api.settings import ApiSettings, ModelInfo, StaticKey
from batchrouter.domain.tenant import Role
from batchrouter.service.limits import ServiceLimits
from batchrouter.service.service import Service

P = ParamSpec("P")
T = TypeVar("T")

USER_KEY = "sk-user-0123456789"
ADMIN_KEY = "sk-admin-0123456789"
MODELS = (ModelInfo("gpt-4.1-nano", "openai", 1_700_000_000), ModelInfo("Qwen/Qwen2.5-7B", "local"))


class DirectCalls:
    """`ports.calls.Calls` without threads: the store in memory never waits."""

    async def read(self, verb: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return verb(*args, **kwargs)

    async def write(self, verb: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return verb(*args, **kwargs)


class Rig:
    """`url` is the server's root; everything it is built from is at hand for tests."""

    def __init__(
        self,
        *,
        limits: ServiceLimits | None = None,
        models: Sequence[ModelInfo] = MODELS,
        room_bytes: int | None = None,
        **settings: Any,
    ) -> None:
        self.clock = RealClock()
        self.chance = RealChance()
        self.store = MemoryStore()
        self.blobs = MemoryBlobs(self.clock, room_bytes)
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
            calls=DirectCalls(),
            blobs=self.blobs,
            clock=self.clock,
            chance=self.chance,
            wake=self.wake,
            limits=limits,
        )

        async def listed() -> list[ModelInfo]:
            return list(models)

        self.app = create_app(self.service, listed, self.settings)
        self.server = ApiServer(self.app, self.settings)
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
