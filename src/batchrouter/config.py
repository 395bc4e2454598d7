"""The configuration: `batchrouter.yaml`, or nothing but the environment.

Every key is optional, unknown keys are errors that name the near one, and secrets may be written as `${NAME}`,
`os.environ/NAME` or `env.NAME`. Without a file the providers come from the environment variables that the vendors'
own tools read.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import yaml

from batchrouter.domain.line_errors import LineFault
from batchrouter.domain.routing import RouteProvider, Router, RoutingError
from batchrouter.errors import ConfigError

CONFIG_NAMES = ("batchrouter.yaml", "batchrouter.yml")
DATA_FOLDER = "batchrouter-data"
LINE_ENDPOINTS = (
    "/v1/chat/completions",
    "/v1/responses",
    "/v1/embeddings",
    "/v1/completions",
    "/v1/moderations",
    "/v1/images/generations",
    "/v1/images/edits",
)

# Sources: OpenAI's API reference; Gemini's "OpenAI compatibility" page; Groq's "OpenAI compatibility" page.
KNOWN_HOSTS = {
    "openai": ("https://api.openai.com/v1", ("OPENAI_API_KEY",), "OPENAI_BASE_URL"),
    "gemini": (
        "https://generativelanguage.googleapis.com/v1beta/openai",
        ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        None,
    ),
    "groq": ("https://api.groq.com/openai/v1", ("GROQ_API_KEY",), None),
}
"""Providers that need no `base_url`: where they are, the variables that hold their key, and one that moves them."""


class _Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class ServerConfig(_Struct, frozen=True):
    host: str = "127.0.0.1"
    port: int = 8000
    shutdown_grace_s: float = 30.0
    """How long calls may still run after SIGTERM."""


class StorageConfig(_Struct, frozen=True):
    database: str = "sqlite"
    blobs: str = DATA_FOLDER
    """A folder."""


class ProviderConfig(_Struct, frozen=True):
    type: str = "openai"
    base_url: str | None = None
    api_key: str | None = None
    models: tuple[str, ...] = ()
    """Globs of the models that this provider serves, against the whole name."""
    aggregator: bool = False
    """Its model names carry other vendors' prefixes, as OpenRouter's do."""
    max_in_flight: int | None = None
    """Default 1024; 256 over TLS, where a connection costs a few hundred KiB."""
    start_in_flight: int = 32
    fixed_in_flight: int | None = None
    rpm: int | None = None
    tpm: int | None = None
    timeout: float = 600.0
    """Seconds for one call."""
    connect_timeout: float = 10.0
    headers: dict[str, str] = {}
    verify_tls: bool = True
    ca_file: str | None = None


class BatchesConfig(_Struct, frozen=True):
    completion_windows: tuple[str, ...] = ("24h",)
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


class Config(_Struct, frozen=True):
    server: ServerConfig = ServerConfig()
    storage: StorageConfig = StorageConfig()
    providers: dict[str, ProviderConfig] = {}
    models: dict[str, str] = {}
    default_provider: str | None = None
    batches: BatchesConfig = BatchesConfig()

    @property
    def endpoints(self) -> tuple[str, ...]:
        return LINE_ENDPOINTS + tuple(e for e in self.batches.endpoints if e not in LINE_ENDPOINTS)

    @property
    def windows_s(self) -> dict[str, int]:
        """Completion windows by their spelling, in seconds."""
        return {window: window_seconds(window) for window in self.batches.completion_windows}


def load(path: Path | None, env: Mapping[str, str], folder: Path | None = None) -> Config:
    """The configuration from `path`, else from a `batchrouter.yaml` in `folder`, else from the environment alone.

    Raises `ConfigError`, whose message names the file and the key.
    """
    if path is None and folder is not None:
        path = next((folder / name for name in CONFIG_NAMES if (folder / name).is_file()), None)
    if path is None:
        return checked(Config(providers=_from_environment(env)), "the environment", env)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    return parse(text, env, str(path))


def parse(text: str, env: Mapping[str, str], name: str) -> Config:
    """The configuration in a YAML text; `name` is what messages call it."""
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{name} is not YAML: {error}") from error
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise ConfigError(f"{name} must be a mapping of settings")
    _refuse_unknown(data, Config, name, "")
    data = _expand(data, env, name)
    try:
        config = msgspec.convert(data, Config)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{name}: {error}") from error
    if not config.providers:
        config = msgspec.structs.replace(config, providers=_from_environment(env))
    return checked(config, name, env)


def checked(config: Config, name: str, env: Mapping[str, str]) -> Config:
    """`config` with each provider's address and key filled in and a lone provider as the default."""
    if config.storage.database != "sqlite":
        raise ConfigError(f"{name}: storage.database '{config.storage.database}' is not supported; use sqlite")
    _check_bounds(config.server, f"{name}: server", _SERVER_BOUNDS)
    _check_bounds(config.batches, f"{name}: batches", _BATCHES_BOUNDS)
    if not config.batches.completion_windows:
        raise ConfigError(f"{name}: batches.completion_windows is empty; list at least one, such as 24h")
    providers = {key: _completed(key, each, name, env) for key, each in config.providers.items()}
    default = config.default_provider
    if default is None and len(providers) == 1:
        default = next(iter(providers))
    if default is not None and default not in providers:
        raise ConfigError(f"{name}: default_provider '{default}' is not among providers{_near(default, providers)}")
    for window in config.batches.completion_windows:
        try:
            window_seconds(window)
        except ConfigError as error:
            raise ConfigError(f"{name}: batches.completion_windows: {error}") from error
    for endpoint in config.batches.endpoints:
        if not re.fullmatch(r"/[A-Za-z0-9._~/-]+", endpoint):
            raise ConfigError(f"{name}: batches.endpoints: '{endpoint}' must be a plain path that begins with /")
    _check_aliases(config.models, providers, default, name)
    return msgspec.structs.replace(config, providers=providers, default_provider=default)


_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def window_seconds(window: str) -> int:
    """Seconds of `10s`, `15m`, `24h` or `7d`."""
    match = re.fullmatch(r"([1-9][0-9]{0,5})([smhd])", window)
    if match is None:
        raise ConfigError(f"completion window '{window}' must be a number and s, m, h or d, such as 24h")
    return int(match[1]) * _UNITS_S[match[2]]


def _completed(key: str, provider: ProviderConfig, name: str, env: Mapping[str, str]) -> ProviderConfig:
    where = f"{name}: providers.{key}"
    if provider.type != "openai":
        raise ConfigError(f"{where}.type '{provider.type}' is not known; 'openai' serves every OpenAI-shaped host")
    if "/" in key:
        raise ConfigError(f"{where}: a provider's name must not contain a slash")
    _check_bounds(provider, where, _PROVIDER_BOUNDS)
    known = KNOWN_HOSTS.get(key)
    base_url, api_key = provider.base_url, provider.api_key
    if known is not None and base_url is None:
        base_url = (env.get(known[2]) if known[2] else None) or known[0]
        if api_key is None:
            api_key = next((env[variable] for variable in known[1] if env.get(variable)), None)
    if base_url is None:
        raise ConfigError(f"{where} needs a base_url, such as http://localhost:8000/v1")
    _check_base_url(base_url, where)
    if api_key is not None and (not api_key.isprintable() or not api_key.isascii() or api_key != api_key.strip()):
        raise ConfigError(
            f"{where}.api_key has a line break, a space at an end, or a character that no header may have"
        )
    if provider.ca_file is not None and not Path(provider.ca_file).is_file():
        raise ConfigError(f"{where}.ca_file '{provider.ca_file}' is no file; name a PEM file")
    return msgspec.structs.replace(provider, base_url=base_url, api_key=api_key)


def _check_base_url(base_url: str, where: str) -> None:
    """The shape that a lane's address must have; told here, before the first line needs it."""
    shape = "must be http:// or https:// with a host and at most a path, such as http://localhost:8000/v1"
    try:
        parts = urlsplit(base_url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, a bracket that does not close
        sound = False
    if not sound or parts.query or parts.fragment or "@" in parts.netloc:
        raise ConfigError(f"{where}.base_url {shape}")
    if not base_url.isascii() or not base_url.isprintable() or " " in base_url:
        raise ConfigError(f"{where}.base_url has a space or another character that must be percent-encoded")


def _check_aliases(
    models: Mapping[str, str], providers: Mapping[str, ProviderConfig], default: str | None, name: str
) -> None:
    """Refuse an alias that can lead nowhere. Without any provider nothing does, and only checking is wanted."""
    if not providers:
        return
    known = [RouteProvider(key, each.type, each.models, each.aggregator) for key, each in providers.items()]
    router = Router(known, models, default)
    for alias in models:
        found = router.resolve("", alias)
        if isinstance(found, RoutingError) and found.fault is LineFault.MODEL_NOT_FOUND:
            raise ConfigError(
                f"{name}: models.{alias}: no provider serves '{models[alias]}'; put a configured one before it "
                f"({', '.join(sorted(providers))}), or set default_provider"
            )


_MANY = 1_000_000_000
_TIB = 1 << 40
_DAY_S = 86_400.0
# Least and most of each number, both allowed. The most is what no sane installation reaches, not advice.
_SERVER_BOUNDS = {"port": (0, 65_535), "shutdown_grace_s": (0.0, _DAY_S)}
_PROVIDER_BOUNDS = {
    "max_in_flight": (1, 1_000_000),
    "start_in_flight": (1, 1_000_000),
    "fixed_in_flight": (1, 1_000_000),
    "rpm": (1, _MANY),
    "tpm": (1, 1000 * _MANY),
    "timeout": (0.001, _DAY_S),
    "connect_timeout": (0.001, _DAY_S),
}
_BATCHES_BOUNDS = {
    "max_lines": (1, _MANY),
    "max_bytes": (1, _TIB),
    "max_embedding_inputs": (1, _MANY),
    "max_lanes": (1, 4096),
    "max_line_bytes": (1, 1 << 30),
    "max_reply_bytes": (1, 1 << 30),
    "max_attempts": (1, 1000),
    "memory_bytes": (1 << 20, _TIB),
}


def _check_bounds(section: msgspec.Struct, where: str, bounds: Mapping[str, tuple[float, float]]) -> None:
    for field, (least, most) in bounds.items():
        value = getattr(section, field)
        if value is not None and not (math.isfinite(value) and least <= value <= most):
            raise ConfigError(f"{where}.{field} is {value}; it must be between {least:,} and {most:,}")


def _from_environment(env: Mapping[str, str]) -> dict[str, ProviderConfig]:
    return {
        key: ProviderConfig()
        for key, (_, variables, moved) in KNOWN_HOSTS.items()
        if any(env.get(variable) for variable in variables) or (moved and env.get(moved))
    }


_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}|^(?:os\.environ/|env\.)([A-Za-z_][A-Za-z0-9_]*)$")


def _expand(value: Any, env: Mapping[str, str], name: str) -> Any:
    if isinstance(value, dict):
        return {key: _expand(each, env, name) for key, each in value.items()}
    if isinstance(value, list):
        return [_expand(each, env, name) for each in value]
    if not isinstance(value, str):
        return value

    def found(match: re.Match[str]) -> str:
        variable = match[1] or match[2]
        if variable not in env:
            raise ConfigError(f"{name}: the environment has no variable {variable}")
        return env[variable]

    return _VARIABLE.sub(found, value)


def _refuse_unknown(data: dict[Any, Any], struct: type[msgspec.Struct], name: str, path: str) -> None:
    fields = {field.name: field.type for field in msgspec.structs.fields(struct)}
    for key, value in data.items():
        if key not in fields:
            raise ConfigError(f"{name}: unknown setting '{path}{key}'{_near(str(key), fields)}")
        wanted = fields[key]
        if isinstance(wanted, type) and issubclass(wanted, msgspec.Struct) and isinstance(value, dict):
            _refuse_unknown(value, wanted, name, f"{path}{key}.")
        elif key == "providers" and isinstance(value, dict):
            for provider, settings in value.items():
                if isinstance(settings, dict):
                    _refuse_unknown(settings, ProviderConfig, name, f"providers.{provider}.")


def _near(word: str, words: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(word, list(words), n=1)
    return f"; did you mean '{near[0]}'?" if near else f"; known are {', '.join(sorted(words))}" if words else ""
