"""What both sides of the store know of providers: where models are, what they cost, which there are."""

from __future__ import annotations

from functools import partial

from batchrouter.adapters.clock import RealChance
from batchrouter.adapters.prices import ListedPrices
from batchrouter.adapters.upstream_models import UpstreamModels
from batchrouter.bootstrap.storage import Storage
from batchrouter.bootstrap.wires import options_of
from batchrouter.bootstrap.wiring import batch_limits, price_sources, provider_facts, service_limits, upstreams_of
from batchrouter.config import Config, router_of, url_rules
from batchrouter.ports.clock import Chance, Clock
from batchrouter.service.checks import Checks
from batchrouter.service.providers import ProviderBook
from batchrouter.service.quotes import Quotes
from batchrouter.service.service import Service


class Providers:
    """Asked over the network only when somebody wants to know; `aclose` ends that."""

    def __init__(self, config: Config, clock: Clock) -> None:
        self.config = config
        self.router = router_of(config)
        self.models = UpstreamModels(upstreams_of(config), clock)
        self.prices = ListedPrices(price_sources(config), clock)

    async def aclose(self) -> None:
        await self.models.aclose()


def make_service(storage: Storage, providers: Providers, chance: Chance | None = None) -> Service:
    """People's side."""
    config = providers.config
    options = partial(options_of, config)
    return Service(
        catalog=storage.catalog,
        results=storage.results,
        calls=storage.people_calls,
        blobs=storage.blobs,
        clock=storage.clock,
        chance=chance or RealChance(),
        wake=storage.wake,
        quotes=Quotes(
            storage.blobs,
            providers.router,
            options,
            providers.prices,
            window_s=max(config.windows_s.values()),
            margin_s=float(config.batches.overtake_margin),
            lanes_max=config.batches.max_lanes,
        ),
        checks=Checks(storage.blobs, providers.router, options, batch_limits(config)),
        providers=ProviderBook(provider_facts(config), storage.backlogs, storage.people_calls, storage.clock),
        webhooks=storage.webhooks,
        webhook_urls=url_rules(config.webhooks),
        limits=service_limits(config),
        scratch=storage.scratch,
    )
