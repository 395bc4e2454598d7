"""The engine's side: one worker and what it sends through."""

from __future__ import annotations

import asyncio
import gc
import logging
import resource
from collections.abc import Mapping

from batchrouter.adapters.clock import RealChance
from batchrouter.adapters.http.proxied import transport_for
from batchrouter.bootstrap.model_facts import ModelFacts
from batchrouter.bootstrap.providers import Providers
from batchrouter.bootstrap.storage import Storage, patiently
from batchrouter.bootstrap.tracing import open_tracing
from batchrouter.bootstrap.upstreams import ConfiguredUpstreams
from batchrouter.bootstrap.webhooks import webhook_poster, webhook_sender
from batchrouter.bootstrap.wiring import connections_max, engine_settings
from batchrouter.engine.worker import Worker
from batchrouter.ports.transport import Transport

log = logging.getLogger(__name__)


class Engine:
    """`start`, then `stop`, on one event loop. The storage stays open."""

    def __init__(self, storage: Storage, providers: Providers, env: Mapping[str, str]) -> None:
        config, clock = providers.config, storage.clock
        settings = engine_settings(config, alone=storage.alone, bucket=storage.bucket)
        most = connections_max(raise_file_limit())
        self._storage = storage
        self._transport: Transport = transport_for(env, most)
        self._tracing = open_tracing(config, env, clock)
        if self._tracing is not None:
            storage.meters.traces = self._tracing.traces
        self._facts = ModelFacts(providers.models.entries, clock)
        self.worker = Worker(
            ledger=storage.ledger,
            jobs=storage.jobs,
            calls=storage.calls,
            blobs=storage.blobs,
            results=storage.results,
            spill=storage.spill,
            wake=storage.wake,
            clock=clock,
            chance=RealChance(),
            settings=settings,
            router=providers.router,
            upstreams=ConfiguredUpstreams(
                config,
                providers.router,
                self._transport,
                most,
                providers.prices,
                self._facts,
                clock,
                env,
                self._tracing,
            ).for_engine(),
            meters=storage.meters,
        )
        self._transport.fence(lambda: self.worker.holds_lease)
        self._poster = webhook_poster(config, clock)
        self._webhooks = webhook_sender(storage, self._poster, settings.poll_s)

    async def start(self) -> None:
        """Begin to work. To be called once. Waits for a database that cannot be reached. Raises `StoreError`; then only
        `stop` and `aclose` are left to do."""
        # What is here now stays; a line's few objects die by their counts, so looking for cycles often is wasted.
        gc.freeze()
        gc.set_threshold(50_000, 20, 50)
        await patiently(self.worker.start)
        await patiently(self._webhooks.start)

    async def stop(self, grace_s: float) -> None:
        """Let calls finish for `grace_s`, flush, give everything back, and tell others that it is free."""
        await asyncio.gather(self.worker.stop(grace_s), self._webhooks.stop(grace_s))
        self._storage.wake.hint()

    def hurry(self) -> None:
        """While `stop` waits for calls: end them now. What was answered is still written."""
        self.worker.hurry()

    async def aclose(self) -> None:
        """Let go of everything; the worker has stopped, or never began."""
        await self._webhooks.aclose()
        await self._poster.aclose()
        await self._facts.aclose()
        await self._transport.aclose()
        if self._tracing is not None:
            await self._tracing.aclose()


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
