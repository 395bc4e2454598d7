"""What the engine asks of the configuration: a lane's members, a batch lane, and how lines of a model may be run."""

from __future__ import annotations

from collections.abc import Mapping

from batchrouter.adapters.native import native_api
from batchrouter.bootstrap.model_facts import ModelFacts
from batchrouter.bootstrap.tracing import Tracing
from batchrouter.bootstrap.wires import options_of, provider_of, wire_of
from batchrouter.config import Config, KeyConfig, ProviderConfig, host_of, native_of, pool_of
from batchrouter.domain.cost import RateCard
from batchrouter.domain.lane_choice import LaneOptions
from batchrouter.domain.pacing import Pacing
from batchrouter.domain.routing import Router
from batchrouter.domain.shard import LaneKey, LaneMode
from batchrouter.engine.setup import LaneSetup, Member, NativeSetup, Upstreams
from batchrouter.errors import ConfigError
from batchrouter.ports.clock import Clock
from batchrouter.ports.prices import Prices
from batchrouter.ports.transport import LinkSettings, Transport
from batchrouter.providers.anthropic import AnthropicWire
from batchrouter.providers.base import Wire
from batchrouter.providers.job_lines import job_lines

IN_FLIGHT, IN_FLIGHT_TLS = 1024, 256
FLEX_TIMEOUT_S = 900.0
"""OpenAI "Flex processing": answers may take that long; Gemini's target is the same."""


class ConfiguredUpstreams:
    """Everything is made anew by each call; links that are alike are the transport's to share."""

    def __init__(
        self,
        config: Config,
        router: Router,
        transport: Transport,
        connections_max: int,
        prices: Prices,
        facts: ModelFacts,
        clock: Clock,
        env: Mapping[str, str],
        tracing: Tracing | None = None,
    ) -> None:
        self._config = config
        self._router = router
        self._transport = transport
        self._connections_max = connections_max
        self._prices = prices
        self._facts = facts
        self._clock = clock
        self._env = env
        self._tracing = tracing

    def for_engine(self) -> Upstreams:
        return Upstreams(self.lane, self.native, self.options, self._router.fallbacks, self._card)

    def lane(self, key: LaneKey) -> LaneSetup:
        """One member for each of the provider's keys, in their order."""
        provider = provider_of(self._config, key.provider)
        return LaneSetup(tuple(self._member(key, provider, each) for each in pool_of(provider)))

    def native(self, key: LaneKey) -> NativeSetup:
        """Under the first of the provider's keys that may run batches: a job is seen with the key that made it."""
        provider = provider_of(self._config, key.provider)
        facts = native_of(provider)
        credential = next((each for each in pool_of(provider) if each.batch), None)
        if facts is None or credential is None:
            raise ConfigError(f"provider '{key.provider}' has no batch API that may be used")
        api = native_api(
            facts,
            base_url=credential.base_url or "",
            headers={**host_of(provider).key_fields(credential.api_key), **credential.headers},
            clock=self._clock,
            env=self._env,
            verify_tls=provider.verify_tls,
            ca_file=provider.ca_file,
        )
        return NativeSetup(api, job_lines(facts), self._wire(key, provider, credential), facts)

    def options(self, provider_name: str, model: str) -> LaneOptions:
        return options_of(self._config, provider_name, model)

    async def _card(self, key: LaneKey) -> RateCard | None:
        return (await self._prices.cards([key]))[0]

    def _member(self, key: LaneKey, provider: ProviderConfig, credential: KeyConfig) -> Member:
        """Lanes share no connections, but all of them together the number that there may be."""
        wire = self._wire(key, provider, credential)
        tls = wire.origin.scheme == "https"
        wanted = provider.fixed_in_flight or provider.max_in_flight or (IN_FLIGHT_TLS if tls else IN_FLIGHT)
        most = max(1, min(wanted, self._connections_max))
        settings = LinkSettings(
            name="/".join(filter(None, (key.provider, key.model, credential.name, key.mode.value))),
            connect_timeout_s=provider.connect_timeout,
            request_timeout_s=_timeout_s(key, provider),
            silence_timeout_s=host_of(provider).silence_s,
            max_reply_bytes=self._config.batches.max_reply_bytes,
            max_connections=most,
            max_tls_connections=most,
        )
        pacing = Pacing(
            max_in_flight=most,
            start_in_flight=min(provider.start_in_flight, most),
            fixed_in_flight=None if provider.fixed_in_flight is None else min(provider.fixed_in_flight, most),
            rpm=credential.rpm,
            tpm=credential.tpm,
            total_in_flight=provider.total_in_flight,
        )
        link = self._transport.link(wire.origin, settings)
        if self._tracing is not None:
            link = self._tracing.link(link, key)
        return Member(wire, link, pacing, credential.name or "")

    def _wire(self, key: LaneKey, provider: ProviderConfig, credential: KeyConfig) -> Wire:
        wire = wire_of(
            key,
            provider,
            credential,
            facts=self._facts.of(key.provider, key.model),
            now_s=lambda: self._clock.unix_ms() // 1000,
        )
        if isinstance(wire, AnthropicWire):
            self._facts.tell(key.provider, key.model, wire.learn)
        return wire


def _timeout_s(key: LaneKey, provider: ProviderConfig) -> float:
    if provider.timeout is not None:
        return provider.timeout
    timeout_s = host_of(provider).timeout_s
    return max(timeout_s, FLEX_TIMEOUT_S) if key.mode is LaneMode.FLEX else timeout_s
