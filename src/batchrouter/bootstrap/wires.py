"""What one key of a provider speaks to a model, and how lines of a model may be run. Pure: nothing is connected."""

from __future__ import annotations

from collections.abc import Callable

from batchrouter.config import Config, KeyConfig, ProviderConfig, flex_of, host_of, mode_of, native_of, pool_of
from batchrouter.domain.lane_choice import LaneOptions
from batchrouter.domain.shard import LaneKey, LaneMode
from batchrouter.errors import ConfigError
from batchrouter.providers.anthropic import AnthropicWire, Facts, Policy
from batchrouter.providers.openai import OpenAIWire

NO_LIMIT = 1e9
"""Lines a second: what runs as batches alone is never overtaken for being slow in real time."""


def provider_of(config: Config, name: str) -> ProviderConfig:
    """Raises `ConfigError` when there is none of that name (any more)."""
    provider = config.providers.get(name)
    if provider is None:
        raise ConfigError(f"provider '{name}' is no longer configured")
    return provider


def wire_of(
    key: LaneKey,
    provider: ProviderConfig,
    credential: KeyConfig,
    *,
    facts: Facts | None = None,
    now_s: Callable[[], int] = lambda: 0,
) -> OpenAIWire | AnthropicWire:
    """`facts` of an Anthropic model, None for those that are shipped; `now_s` for answers without a time."""
    host = host_of(provider)
    assert credential.base_url is not None  # filled in when the configuration was read
    if host.wire == "anthropic":
        return AnthropicWire(
            credential.base_url,
            key.model,
            api_key=credential.api_key,
            headers=credential.headers,
            verify_tls=provider.verify_tls,
            ca_file=provider.ca_file,
            facts=facts,
            policy=Policy(unsupported=provider.unsupported, max_tokens=provider.max_tokens or Policy().max_tokens),
            now_s=now_s,
        )
    return OpenAIWire(
        credential.base_url,
        key.model,
        api_key=credential.api_key,
        headers=credential.headers,
        verify_tls=provider.verify_tls,
        ca_file=provider.ca_file,
        host=host,
        unsupported=provider.unsupported,
        flex=key.mode is LaneMode.FLEX,
    )


def options_of(config: Config, provider_name: str, model: str) -> LaneOptions:
    """Raises `ConfigError` as `provider_of` does."""
    provider = provider_of(config, provider_name)
    facts, settings = native_of(provider), provider.batch
    return LaneOptions(
        mode=mode_of(provider, model, config.batches.mode),
        batch=facts is not None,
        flex=flex_of(provider, model),
        endpoints=() if facts is None else facts.endpoints,
        discount=0.0 if facts is None else facts.discount,
        min_requests=settings.min_requests,
        min_time_s=float(settings.min_time),
        rate=_rate(provider),
    )


def _rate(provider: ProviderConfig) -> float:
    if host_of(provider).only_batch:
        return NO_LIMIT
    limits = [key.rpm for key in pool_of(provider)]
    return sum(limit / 60 for limit in limits if limit) if all(limits) else LaneOptions().rate
