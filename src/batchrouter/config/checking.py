"""Completes a configuration and refuses one that can never work, before the first line needs it."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from batchrouter.config import bounds
from batchrouter.config.bounds import check_bounds, near
from batchrouter.config.providers import completed
from batchrouter.config.routes import router_of
from batchrouter.config.settings import Config
from batchrouter.config.storage import check_storage
from batchrouter.config.webhooks import check_webhooks
from batchrouter.config.windows import window_seconds
from batchrouter.domain.line_errors import LineFault
from batchrouter.domain.routing import Resolved, Router, RoutingError
from batchrouter.errors import ConfigError


def checked(config: Config, name: str, env: Mapping[str, str]) -> Config:
    """`config` with each provider's host, address and keys filled in and a lone provider as the default."""
    check_storage(config.storage, f"{name}: storage")
    check_bounds(config.storage, f"{name}: storage", bounds.STORAGE)
    check_bounds(config.server, f"{name}: server", bounds.SERVER)
    _check_batches(config, f"{name}: batches")
    check_webhooks(config.webhooks, f"{name}: webhooks")
    providers = {key: completed(key, each, name, env) for key, each in config.providers.items()}
    default = config.default_provider
    if default is None and len(providers) == 1:
        default = next(iter(providers))
    if default is not None and default not in providers:
        raise ConfigError(f"{name}: default_provider '{default}' is not among providers{near(default, providers)}")
    config = msgspec.structs.replace(config, providers=providers, default_provider=default)
    if providers:  # without any nothing leads anywhere, and only checking is wanted
        router = router_of(config)
        _check_aliases(config, router, name)
        _check_fallbacks(config, router, name)
    return config


def _check_batches(config: Config, where: str) -> None:
    batches = config.batches
    check_bounds(batches, where, bounds.BATCHES)
    if not batches.completion_windows:
        raise ConfigError(f"{where}.completion_windows is empty; list at least one, such as 24h")
    for window in batches.completion_windows:
        try:
            window_seconds(window)
        except ConfigError as error:
            raise ConfigError(f"{where}.completion_windows: {error}") from error
    for endpoint in batches.endpoints:
        if not re.fullmatch(r"/[A-Za-z0-9._~/-]+", endpoint):
            raise ConfigError(f"{where}.endpoints: '{endpoint}' must be a plain path that begins with /")


def _check_aliases(config: Config, router: Router, name: str) -> None:
    for alias, target in config.models.items():
        if _lost(router, alias):
            raise ConfigError(f"{name}: models.{alias}: no provider serves '{target}'; {_remedy(config)}")


def _check_fallbacks(config: Config, router: Router, name: str) -> None:
    """Every name must lead somewhere, and nothing back to where it came from."""
    after: dict[tuple[str, str], list[tuple[str, str]]] = {}
    names: dict[tuple[str, str], str] = {}
    for model, targets in config.fallbacks.items():
        where = f"{name}: fallbacks.{model}"
        if not targets:
            raise ConfigError(f"{where} is empty; list at least one model")
        for each in (model, *targets):
            found = router.resolve("", each)
            if not isinstance(found, Resolved):
                raise ConfigError(f"{where}: no provider serves '{each}'; {_remedy(config)}")
            names.setdefault(found[:2], each)
        start = _place(router, model)
        if start in after:
            raise ConfigError(f"{where} is the same model as '{names[start]}', which has fallbacks already")
        after[start] = [_place(router, each) for each in targets]
        if len(set(after[start])) < len(targets):
            raise ConfigError(f"{where} names a model twice")
    for start in after:
        path = _cycle(start, after)
        if path:
            raise ConfigError(f"{name}: fallbacks lead in a circle: {' → '.join(names[each] for each in path)}")


def _cycle(start: tuple[str, str], after: dict[tuple[str, str], list[tuple[str, str]]]) -> list[tuple[str, str]]:
    """A way from `start` back to it, both ends told; empty if there is none."""
    ways = [[start]]
    seen = set()
    while ways:
        way = ways.pop()
        for each in after.get(way[-1], ()):
            if each == start:
                return [*way, each]
            if each not in seen:
                seen.add(each)
                ways.append([*way, each])
    return []


def _place(router: Router, model: str) -> tuple[str, str]:
    found = router.resolve("", model)
    assert isinstance(found, Resolved)
    return found.provider, found.model


def _lost(router: Router, model: str) -> bool:
    found = router.resolve("", model)
    return isinstance(found, RoutingError) and found.fault is LineFault.MODEL_NOT_FOUND


def _remedy(config: Config) -> str:
    return f"put a configured one before it ({', '.join(sorted(config.providers))}), or set default_provider"
