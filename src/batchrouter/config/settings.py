"""What a configuration may say: every setting with its default. Sizes in bytes, money in dollars, times in seconds."""

from __future__ import annotations

from typing import Literal

import msgspec

from batchrouter.config.windows import Seconds, window_seconds
from batchrouter.domain.lane_choice import Mode
from batchrouter.domain.tenant import DEFAULT_TENANT
from batchrouter.domain.webhook import USUAL_EVENTS
from batchrouter.providers.hosts.host import ALL_ENDPOINTS
from batchrouter.providers.rules import Unsupported

DATA_FOLDER = "batchrouter-data"
LINE_ENDPOINTS = ALL_ENDPOINTS


class _Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class ServerConfig(_Struct, frozen=True):
    host: str = "127.0.0.1"
    port: int = 8000
    shutdown_grace_s: float = 30.0
    """How long calls may still run after SIGTERM."""
    worker_port: int = 8001
    """Of `batchrouter worker`: health and metrics."""
    lease: Seconds = Seconds(30)
    """How long the lines of a worker stay its own after it was last heard of."""
    traces: str | None = None
    """Where an OpenTelemetry collector listens, by HTTP. None: as the environment says, else nowhere."""
    trace_lines: bool = False
    log_format: Literal["text", "json"] = "text"
    metrics: Literal["key", "open", "off"] = "key"
    """Who may read `/metrics` of the API: keys of role admin, or everybody who reaches it. A worker's is open."""


class StorageConfig(_Struct, frozen=True):
    """`options` are the object store's own, by their names there (region, endpoint, keys)."""

    database: str = "sqlite"
    blobs: str | None = None
    """A folder or a bucket. None: `DATA_FOLDER`, with SQLite."""
    options: dict[str, str] = {}
    spill: str | None = None
    """A folder of this machine. None: in the data folder; beside PostgreSQL in the user's own folder for state."""
    spill_bytes: int = 2 * 1024 * 1024 * 1024


class KeyConfig(_Struct, frozen=True):
    """One key or region of a provider. What it does not say is as the provider says it."""

    name: str | None = None
    api_key: str | None = None
    base_url: str | None = None
    headers: dict[str, str] = {}
    rpm: int | None = None
    tpm: int | None = None
    batch: bool = True
    """Whether it may run jobs of the provider's batch API; the first that may does."""


class NativeConfig(_Struct, frozen=True):
    """The provider's own batch API. None: as its host's row of facts says."""

    enabled: bool | None = None
    """Without a word: at the vendor's own address, or where `mode` asks for it."""
    min_requests: int = 100
    min_time: Seconds = Seconds(3600)
    """Batches with less time than this left are not sent as jobs."""
    max_requests: int | None = None
    max_bytes: int | None = None
    enqueued_tokens: int | None = None
    window: Seconds | None = None
    discount: float | None = None
    """The part of the price that it saves."""
    poll_min: Seconds | None = None
    poll_max: Seconds | None = None
    endpoints: tuple[str, ...] | None = None


class PriceConfig(_Struct, frozen=True):
    """Dollars for a million tokens. `cached`: read from the provider's prompt cache; `written`: written to it; both
    cost what input does if nothing else is said."""

    input: float
    output: float
    cached: float | None = None
    written: float | None = None
    batch_discount: float | None = None


class ProviderConfig(_Struct, frozen=True):
    type: str | None = None
    """The name of a host; without one the provider's own name if that is a host's, else `openai`."""
    base_url: str | None = None
    api_key: str | None = None
    api_keys: tuple[str, ...] = ()
    keys: tuple[KeyConfig, ...] = ()
    models: tuple[str, ...] = ()
    """Globs of the models that this provider serves, against the whole name."""
    aggregator: bool | None = None
    """Its model names carry other vendors' prefixes, as OpenRouter's do."""
    mode: Mode | None = None
    modes: dict[str, Mode] = {}
    """By glob of the model's name at the provider; the first that fits."""
    service_tier: Literal["flex"] | None = None
    batch: NativeConfig = NativeConfig()
    unsupported: Unsupported | None = None
    max_tokens: int | None = None
    """For lines that set none, where the provider wants one (Anthropic)."""
    prices: dict[str, PriceConfig] = {}
    """By glob of the model's name at the provider; the first that fits."""
    price_as: str | None = None
    """The provider's name in genai-prices."""
    max_in_flight: int | None = None
    """Default 1024; 256 over TLS, where a connection costs a few hundred KiB."""
    start_in_flight: int = 32
    fixed_in_flight: int | None = None
    total_in_flight: int | None = None
    """The upstream's own bound, for all workers together; the others are each worker's."""
    rpm: int | None = None
    tpm: int | None = None
    timeout: Seconds | None = None
    """For one call. Default 600; 3600 where answers are streamed (Anthropic); at least 900 in a flex lane."""
    connect_timeout: Seconds = Seconds(10)
    headers: dict[str, str] = {}
    verify_tls: bool = True
    ca_file: str | None = None


class BatchesConfig(_Struct, frozen=True):
    completion_windows: tuple[str, ...] = ("24h",)
    mode: Mode = Mode.AUTO
    max_cost: float | None = None
    """Of one batch that names none itself."""
    overtake_margin: Seconds = Seconds(900)
    cancel_wait: Seconds = Seconds(900)
    pause_after_failures: int = 100
    check_outputs: bool = True
    max_lines: int = 50_000
    max_bytes: int = 209_715_200
    max_embedding_inputs: int = 50_000
    max_lanes: int = 64
    max_line_bytes: int = 32 * 1024 * 1024
    max_reply_bytes: int = 64 * 1024 * 1024
    max_attempts: int = 8
    endpoints: tuple[str, ...] = ()
    """POST paths beyond OpenAI's own that lines may name."""
    memory_bytes: int = 48 * 1024 * 1024
    """The budget of bytes in flight: requests, replies, lines not yet written."""


class WebhookConfig(_Struct, frozen=True):
    """One endpoint. Its tenant is made if there is none of that name."""

    url: str
    secret: str
    """`whsec_` and 24 to 64 random bytes in base64."""
    tenant: str = DEFAULT_TENANT
    events: tuple[str, ...] = USUAL_EVENTS
    description: str = ""


class WebhooksConfig(_Struct, frozen=True):
    endpoints: tuple[WebhookConfig, ...] = ()
    allow_http: bool = False
    allow_private: bool | tuple[str, ...] = False
    """Addresses that are not of the open internet: none, all, or those of some networks."""
    proxy: str | None = None
    ca_file: str | None = None


class Config(_Struct, frozen=True):
    server: ServerConfig = ServerConfig()
    storage: StorageConfig = StorageConfig()
    providers: dict[str, ProviderConfig] = {}
    models: dict[str, str] = {}
    default_provider: str | None = None
    fallbacks: dict[str, tuple[str, ...]] = {}
    """Where lines of a model go when its lane cannot serve them, in order."""
    batches: BatchesConfig = BatchesConfig()
    webhooks: WebhooksConfig = WebhooksConfig()

    @property
    def endpoints(self) -> tuple[str, ...]:
        return LINE_ENDPOINTS + tuple(e for e in self.batches.endpoints if e not in LINE_ENDPOINTS)

    @property
    def windows_s(self) -> dict[str, int]:
        """Completion windows by their spelling, in seconds."""
        return {window: window_seconds(window) for window in self.batches.completion_windows}
