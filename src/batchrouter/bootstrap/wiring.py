"""What the configuration means to each part. Light to import: nothing here opens anything."""

from __future__ import annotations

from batchrouter.adapters.upstream_models import Upstream
from batchrouter.config import Config, ProviderConfig, host_of, router_of
from batchrouter.domain.pacing import Pacing
from batchrouter.domain.retry import RetrySettings
from batchrouter.domain.shard import LaneKey
from batchrouter.domain.validation import BatchLimits
from batchrouter.engine.settings import EngineSettings
from batchrouter.engine.setup import Member
from batchrouter.ports.transport import LinkSettings, Transport
from batchrouter.providers.openai import OpenAIWire
from batchrouter.service.limits import ServiceLimits

__all__ = [
    "batch_limits",
    "connection",
    "connections_max",
    "engine_settings",
    "router_of",
    "service_limits",
    "upstreams_of",
]

IN_FLIGHT, IN_FLIGHT_TLS = 1024, 256
FILES_APART = 256
"""Least number of open files that are not upstream connections: database, blobs, clients. A quarter if that is more;
half where the limit is tiny."""


def connections_max(nofile: int) -> int:
    """How many connections to upstreams there may be where `nofile` files may be open."""
    return nofile - min(max(FILES_APART, nofile // 4), nofile // 2)


def connection(
    key: LaneKey, provider: ProviderConfig, config: Config, transport: Transport, connections_max: int
) -> Member:
    """How one lane reaches its provider. Lanes share no connections, but all of them together the number that there
    may be."""
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
    most = max(1, min(wanted, connections_max))
    settings = LinkSettings(
        name=f"{key.provider}/{key.model}",
        connect_timeout_s=provider.connect_timeout,
        request_timeout_s=provider.timeout or host_of(provider).timeout_s,
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
    return Member(wire, transport.link(wire.origin, settings), pacing)


def upstreams_of(config: Config) -> dict[str, Upstream]:
    return {
        name: Upstream(
            base_url=each.base_url or "",
            api_key=each.api_key,
            headers=each.headers,
            verify_tls=each.verify_tls,
            ca_file=each.ca_file,
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
        limits=batch_limits(config),
        retry=RetrySettings(max_attempts=config.batches.max_attempts),
    )
