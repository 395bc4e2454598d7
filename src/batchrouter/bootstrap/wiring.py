"""What the configuration means to each part. Light to import: nothing here opens anything."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

from batchrouter.adapters.prices import OwnPrice, PriceSource
from batchrouter.adapters.upstream_models import Upstream
from batchrouter.config import Config, ProviderConfig, host_of, native_of, pool_of, router_of
from batchrouter.domain.cost import NANO
from batchrouter.domain.retry import RetrySettings
from batchrouter.domain.validation import BatchLimits
from batchrouter.engine.settings import EngineSettings
from batchrouter.providers.anthropic.wire import VERSION
from batchrouter.service.limits import ServiceLimits
from batchrouter.service.providers import ProviderFacts

__all__ = [
    "batch_limits",
    "connections_max",
    "engine_settings",
    "price_sources",
    "provider_facts",
    "router_of",
    "service_limits",
    "upstreams_of",
]

FLUSH_S, FLUSH_BUCKET_S = 0.1, 1.0
"""A crash repeats at most the lines of that long; ten times the segments would be ten times the puts."""
POLL_S, POLL_SHARED_S = 1.0, 2.0
"""Where others are told of news by hints, so that looking is only for what no hint tells."""
FILES_APART = 256
"""Least number of open files that are not upstream connections: database, blobs, clients. A quarter if that is more;
half where the limit is tiny."""


def connections_max(nofile: int) -> int:
    """How many connections to upstreams there may be where `nofile` files may be open."""
    return nofile - min(max(FILES_APART, nofile // 4), nofile // 2)


def upstreams_of(config: Config) -> dict[str, Upstream]:
    """Where each provider lists its models, under the first of its keys."""
    return {name: _listing(each) for name, each in config.providers.items()}


def _listing(provider: ProviderConfig) -> Upstream:
    host, key = host_of(provider), pool_of(provider)[0]
    anthropic = host.wire == "anthropic"
    return Upstream(
        base_url=key.base_url or "",
        headers={
            **({"anthropic-version": VERSION} if anthropic else {}),
            **host.key_fields(key.api_key),
            **{name.lower(): value for name, value in key.headers.items()},
        },
        verify_tls=provider.verify_tls,
        ca_file=provider.ca_file,
        models=provider.models,
        paged=anthropic,
    )


def price_sources(config: Config) -> dict[str, PriceSource]:
    return {name: _prices_of(each) for name, each in config.providers.items()}


def provider_facts(config: Config) -> tuple[ProviderFacts, ...]:
    return tuple(
        ProviderFacts(
            name=name,
            type=each.type or "openai",
            base_url=_shown(pool_of(each)[0].base_url),
            models=tuple(each.models),
            default=name == config.default_provider,
            keyed=any(key.api_key or key.headers for key in pool_of(each)),
        )
        for name, each in config.providers.items()
    )


def _shown(url: str | None) -> str | None:
    """Without what may be secret: a user and password, or a query."""
    if url is None:
        return None
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _prices_of(provider: ProviderConfig) -> PriceSource:
    host, native = host_of(provider), native_of(provider)
    discount = native.discount if native is not None else host.flex_discount if provider.service_tier else None
    own = tuple(
        OwnPrice(glob, price.input, price.output, price.cached, price.written, _share(price.batch_discount, discount))
        for glob, price in provider.prices.items()
    )
    return PriceSource(provider.price_as or host.prices, _share(None, discount), own)


def _share(discount: float | None, otherwise: float | None) -> float | None:
    """What is left of a price."""
    saved = otherwise if discount is None else discount
    return None if saved is None else 1.0 - saved


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
        max_cost_nano=None if config.batches.max_cost is None else round(config.batches.max_cost * NANO),
    )


def engine_settings(config: Config, *, alone: bool, bucket: bool) -> EngineSettings:
    """`alone`: no other worker lives; `bucket`: bytes go to an object store, where each put costs."""
    return EngineSettings(
        alone=alone,
        lease_ms=round(config.server.lease * 1000),
        poll_s=POLL_S if alone else POLL_SHARED_S,
        flush_s=FLUSH_BUCKET_S if bucket else FLUSH_S,
        budget_bytes=config.batches.memory_bytes,
        limits=batch_limits(config),
        retry=RetrySettings(max_attempts=config.batches.max_attempts),
        overtake_margin_s=float(config.batches.overtake_margin),
        cancel_wait_s=float(config.batches.cancel_wait),
        pause_after_failures=config.batches.pause_after_failures,
        check_outputs=config.batches.check_outputs,
    )
