"""Traces, where somebody wants them: nothing of OpenTelemetry is loaded otherwise."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from batchrouter.bootstrap.storage import in_thread
from batchrouter.config import Config
from batchrouter.domain.shard import LaneKey
from batchrouter.engine.line_call import LineCall
from batchrouter.errors import ConfigError
from batchrouter.ports.clock import Clock
from batchrouter.ports.transport import Link, Sink

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

    from batchrouter.adapters.tracing import LineFacts, OpenTelemetryTraces

log = logging.getLogger(__name__)

VARIABLES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
PATH = "/v1/traces"
PATIENCE_S = 5.0
"""How long a stop waits for the last spans to be taken."""


class Tracing:
    """`traces` for the engine; `link` for those that send lines, the same one unless lines are traced."""

    def __init__(self, provider: TracerProvider, traces: OpenTelemetryTraces, *, lines: bool) -> None:
        self.traces = traces
        self._provider = provider
        self._lines = lines

    def link(self, link: Link, key: LaneKey) -> Link:
        if not self._lines:
            return link
        from batchrouter.adapters.tracing import TracedLink

        return TracedLink(link, self.traces, key, facts_of)

    async def aclose(self) -> None:
        """What is not taken by then is lost, as it is when the collector is away."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                await in_thread(self._provider.shutdown)


def open_tracing(config: Config, env: Mapping[str, str], clock: Clock) -> Tracing | None:
    """None: nobody wants any. Raises `ConfigError` where the libraries are missing."""
    endpoint = config.server.traces
    if endpoint is None and not any(env.get(name) for name in VARIABLES):
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        from batchrouter.adapters.tracing import Ids, OpenTelemetryTraces
    except ImportError as error:
        raise ConfigError(
            "traces need OpenTelemetry, which is not installed: pip install 'batchrouter[traces]'"
        ) from error
    ids = Ids()
    provider = TracerProvider(
        resource=Resource.create({"service.name": env.get("OTEL_SERVICE_NAME") or "batchrouter"}),
        id_generator=ids,
        shutdown_on_exit=False,
    )
    exporter = OTLPSpanExporter(endpoint=None if endpoint is None else endpoint.rstrip("/") + PATH)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return Tracing(provider, OpenTelemetryTraces(provider, ids, clock), lines=config.server.trace_lines)


def facts_of(sink: Sink) -> LineFacts:
    from batchrouter.adapters.tracing import LineFacts

    assert isinstance(sink, LineCall)
    held = sink.held
    return LineFacts(held.batch.id, held.shard_id, held.first_line + sink.place, sink.attempts)
