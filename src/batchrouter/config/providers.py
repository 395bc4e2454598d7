"""What a provider's settings come to, together with the facts of its host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from batchrouter.config import bounds
from batchrouter.config.bounds import check_bounds, near
from batchrouter.config.settings import KeyConfig, ProviderConfig
from batchrouter.domain.job import NativeFacts
from batchrouter.domain.lane_choice import Mode
from batchrouter.errors import ConfigError
from batchrouter.providers.hosts import COMPATIBLE, HOSTS, Host, at_home, host_at, host_named
from batchrouter.providers.request_head import RequestHead
from batchrouter.providers.rules import matches


def host_of(provider: ProviderConfig) -> Host:
    """The facts that hold for a provider whose settings are complete."""
    return host_at(provider.type or "openai", provider.base_url)


def pool_of(provider: ProviderConfig) -> tuple[KeyConfig, ...]:
    """The provider's keys; one without a name where the configuration was never completed."""
    return provider.keys or (
        KeyConfig(
            name="",
            api_key=provider.api_key,
            base_url=provider.base_url,
            headers=provider.headers,
            rpm=provider.rpm,
            tpm=provider.tpm,
        ),
    )


def native_of(provider: ProviderConfig) -> NativeFacts | None:
    """The batch API of a provider whose settings are complete; None: it has none, or is not to be used."""
    host, settings = host_of(provider), provider.batch
    facts = _batch_api(host)
    asked = provider.mode is Mode.BATCH or Mode.BATCH in provider.modes.values() or host.only_batch
    home = provider.base_url is not None and at_home(host, provider.base_url)
    if facts is None or not (settings.enabled if settings.enabled is not None else asked or home):
        return None
    return replace(
        facts,
        endpoints=facts.endpoints if settings.endpoints is None else settings.endpoints,
        windows_s=facts.windows_s if settings.window is None else (int(settings.window),),
        max_requests=settings.max_requests or facts.max_requests,
        max_bytes=settings.max_bytes or facts.max_bytes,
        enqueued_tokens=settings.enqueued_tokens or facts.enqueued_tokens,
        discount=facts.discount if settings.discount is None else settings.discount,
        poll_min_s=float(settings.poll_min or facts.poll_min_s),
        poll_max_s=float(settings.poll_max or max(facts.poll_max_s, settings.poll_min or 0.0)),
    )


def mode_of(provider: ProviderConfig, model: str, otherwise: Mode) -> Mode:
    """The configuration's wish for a model, by its name at the provider."""
    for glob, mode in provider.modes.items():
        if matches(model, (glob,)):
            return mode
    if host_of(provider).only_batch:
        return Mode.BATCH
    return provider.mode or otherwise


def flex_of(provider: ProviderConfig, model: str) -> bool:
    return provider.service_tier == "flex" and matches(model, host_of(provider).flex)


def _batch_api(host: Host) -> NativeFacts | None:
    """Who speaks OpenAI's dialect may have OpenAI's batch API too, if the configuration says so."""
    return HOSTS["openai"].batch if host is COMPATIBLE else host.batch


def completed(key: str, provider: ProviderConfig, name: str, env: Mapping[str, str]) -> ProviderConfig:
    """With its host's name as `type`, an address, and everything about its keys in `keys`, of which there is one at
    least; `api_key` is that of the first. Raises `ConfigError`."""
    where = f"{name}: providers.{key}"
    if "/" in key:
        raise ConfigError(f"{where}: a provider's name must not contain a slash")
    check_bounds(provider, where, bounds.PROVIDER)
    row = _row(key, provider, where)
    keys = _keys(row, provider, where, env)
    provider = msgspec.structs.replace(
        provider, type=row.name, base_url=keys[0].base_url, api_key=keys[0].api_key, api_keys=(), keys=keys
    )
    if provider.ca_file is not None and not Path(provider.ca_file).is_file():
        raise ConfigError(f"{where}.ca_file '{provider.ca_file}' is no file; name a PEM file")
    _check_lanes(provider, where)
    _check_prices(provider, where)
    return provider


def _row(key: str, provider: ProviderConfig, where: str) -> Host:
    if provider.type == COMPATIBLE.name:
        return COMPATIBLE
    row = host_named(provider.type or key)
    if row is not None:
        return row
    if provider.type is not None:
        raise ConfigError(
            f"{where}.type '{provider.type}' is not known{near(provider.type, HOSTS)} "
            "('openai' serves every host of that shape)"
        )
    return COMPATIBLE


# --- addresses and keys -------------------------------------------------------------------------------------------


def _keys(row: Host, provider: ProviderConfig, where: str, env: Mapping[str, str]) -> tuple[KeyConfig, ...]:
    if provider.api_keys and (provider.api_key is not None or provider.keys):
        raise ConfigError(f"{where}: api_keys stands for itself; leave out {'keys' if provider.keys else 'api_key'}")
    given = provider.keys or tuple(KeyConfig(api_key=each) for each in provider.api_keys) or (KeyConfig(),)
    found = []
    for number, each in enumerate(given, 1):
        place = where if len(given) == 1 and not provider.keys else f"{where}.keys[{number - 1}]"
        found.append(_key(row, provider, each, str(number) if len(given) > 1 else "", place, env))
    names = [key.name for key in found]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{where}.keys: the name '{name}' stands there twice")
    return tuple(found)


def _key(
    row: Host, provider: ProviderConfig, key: KeyConfig, name: str, where: str, env: Mapping[str, str]
) -> KeyConfig:
    check_bounds(key, where, bounds.KEY)
    told = key.base_url or provider.base_url
    base_url = told or (env.get(row.base_env) if row.base_env else None) or row.base_url
    if not base_url:
        raise ConfigError(f"{where} needs a base_url, such as http://localhost:8000/v1{_or_variable(row)}")
    _check_base_url(base_url, where)
    if row.path and not urlsplit(base_url).path.strip("/"):
        base_url = base_url.rstrip("/") + row.path
    api_key = provider.api_key if key.api_key is None else key.api_key
    if api_key is None and (told is None or at_home(row, base_url)):
        # The environment's key is the vendor's: an address that the file names may be somebody else's.
        api_key = next((env[variable] for variable in row.key_env if env.get(variable)), None)
    if api_key is not None and (not api_key.isprintable() or not api_key.isascii() or api_key != api_key.strip()):
        raise ConfigError(
            f"{where}.api_key has a line break, a space at an end, or a character that no header may have"
        )
    if api_key == "" and (name or at_home(row, base_url)):  # as an empty variable leaves it
        raise ConfigError(f"{where}.api_key is empty")
    headers = {**provider.headers, **key.headers}
    try:
        RequestHead(base_url, row.key_fields(api_key), headers)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
    if api_key is None and at_home(row, base_url) and row.auth_header not in {name.lower() for name in headers}:
        raise ConfigError(f"{where} has no key; give it an api_key or set the variable {row.key_env[0]}")
    return KeyConfig(
        name=key.name or name,
        api_key=api_key,
        base_url=base_url,
        headers=headers,
        rpm=key.rpm or provider.rpm,
        tpm=key.tpm or provider.tpm,
        batch=key.batch,
    )


def _or_variable(row: Host) -> str:
    return f", or the variable {row.base_env}" if row.base_env else ""


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


# --- lanes and prices ---------------------------------------------------------------------------------------------


def _check_lanes(provider: ProviderConfig, where: str) -> None:
    host, settings = host_of(provider), provider.batch
    check_bounds(settings, f"{where}.batch", bounds.NATIVE)
    for endpoint in settings.endpoints or ():
        if not endpoint.startswith("/"):
            raise ConfigError(f"{where}.batch.endpoints: '{endpoint}' must begin with /")
    if settings.poll_min is not None and settings.poll_max is not None and settings.poll_min > settings.poll_max:
        raise ConfigError(f"{where}.batch.poll_min is longer than poll_max")
    modes = {"mode": provider.mode, **{f"modes.{glob}": mode for glob, mode in provider.modes.items()}}
    for setting, mode in modes.items():
        if mode is Mode.BATCH and native_of(provider) is None:
            raise ConfigError(f"{where}.{setting} is batch, but {_without_batch(host, provider)}")
        if mode is Mode.REALTIME and host.only_batch:
            raise ConfigError(f"{where}.{setting} is realtime, but {host.name} takes nothing but batches")
    if settings.enabled and _batch_api(host) is None:
        raise ConfigError(f"{where}.batch.enabled is true, but {_without_batch(host, provider)}")
    if native_of(provider) is not None and not any(key.batch for key in provider.keys):
        raise ConfigError(f"{where}.keys: none may run batches; let one, or set batch.enabled to false")
    if provider.service_tier is not None and not host.flex:
        raise ConfigError(f"{where}.service_tier is flex, but {host.name} has no discounted tier that is known here")


def _without_batch(host: Host, provider: ProviderConfig) -> str:
    if provider.batch.enabled is False:
        return "batch.enabled is false"
    return f"no batch API of {host.name} is known here"


def _check_prices(provider: ProviderConfig, where: str) -> None:
    for glob, price in provider.prices.items():
        check_bounds(price, f"{where}.prices.{glob}", bounds.PRICE)
