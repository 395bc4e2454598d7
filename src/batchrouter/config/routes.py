"""The router that a configuration asks for."""

from __future__ import annotations

from batchrouter.config.providers import host_of
from batchrouter.config.settings import Config, ProviderConfig
from batchrouter.domain.routing import RouteProvider, Router
from batchrouter.providers.hosts import COMPATIBLE, host_named


def router_of(config: Config) -> Router:
    return Router(
        [_route(name, each) for name, each in config.providers.items()],
        config.models,
        config.default_provider,
        config.fallbacks,
    )


def _route(name: str, provider: ProviderConfig) -> RouteProvider:
    host, namesake = host_of(provider), host_named(name)
    also = () if host is COMPATIBLE else (host.name, *host.aliases)
    return RouteProvider(
        name,
        provider.type or host.name,
        provider.models,
        host.aggregator if provider.aggregator is None else provider.aggregator,
        alone=host.models,
        also=also + (() if namesake is None else namesake.aliases),
    )
