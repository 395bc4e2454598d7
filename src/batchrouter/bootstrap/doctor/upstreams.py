"""Each provider: whether it answers, under its key. That it has one, the configuration makes sure of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

from batchrouter.adapters.clock import RealClock
from batchrouter.adapters.upstream_models import ListingFailed, UpstreamModels
from batchrouter.bootstrap.doctor.finding import Finding, fault, milliseconds, ok, warning
from batchrouter.bootstrap.wiring import upstreams_of
from batchrouter.config import Config, ProviderConfig, pool_of

PATIENCE_S = 6.0


async def look_at_upstreams(config: Config, *, offline: bool) -> AsyncIterator[Finding]:
    if not config.providers:
        yield warning(
            "providers",
            "none is configured, so every batch would fail with model_not_found",
            "set OPENAI_API_KEY or another vendor's variable, or write providers into batchrouter.yaml",
        )
    models = UpstreamModels(upstreams_of(config), RealClock())
    try:
        asked = None if offline else await asyncio.gather(*(_asked(models, name) for name in config.providers))
        for number, (name, provider) in enumerate(config.providers.items()):
            for finding in _settings(name, provider):
                yield finding
            if asked is not None:
                yield asked[number]
            else:
                yield ok(f"provider {name}", f"{_where(provider)} was not asked (--offline)")
    finally:
        await models.aclose()


def _settings(name: str, provider: ProviderConfig) -> list[Finding]:
    found, what = [], f"settings of {name}"
    pool = pool_of(provider)
    url = urlsplit(pool[0].base_url or "")
    if not provider.verify_tls:
        found.append(
            warning(what, "certificates are not looked at (verify_tls)", "name its own authority in ca_file instead")
        )
    local = url.hostname in ("localhost", "127.0.0.1", "::1")
    if url.scheme == "http" and not local and any(key.api_key for key in pool):
        found.append(warning(what, "its key goes over the network in the clear", "use https"))
    return found


async def _asked(models: UpstreamModels, name: str) -> Finding:
    what, began_s = f"provider {name}", RealClock.mono_s()
    try:
        async with asyncio.timeout(PATIENCE_S):
            count = await models.ask(name)
    except ListingFailed as error:
        if error.status in (401, 403):
            return fault(what, f"it refuses the key (status {error.status})", "set a valid one")
        if error.status is not None:
            return warning(
                what,
                f"it does not list its models (status {error.status})",
                "look at base_url; lines may work all the same",
            )
        return fault(what, f"it does not answer ({error.why})", "look at base_url, the network and its server")
    except TimeoutError:
        return fault(what, f"it did not answer in {PATIENCE_S:.0f} s", "look at base_url, the network and its server")
    return ok(what, f"{count} models, listed in {milliseconds(RealClock.mono_s() - began_s)}")


def _where(provider: ProviderConfig) -> str:
    """Host and port alone: an address may have a name and a password in it."""
    url = urlsplit(pool_of(provider)[0].base_url or "")
    return f"{url.scheme}://{url.hostname}{f':{url.port}' if url.port else ''}"
