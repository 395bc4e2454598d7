"""Which provider runs a line, and under what name that provider knows the model.

Order, first match wins:

1. the line's `provider` field;
2. an exact alias in the configuration's `models`;
3. a provider's `models` glob that matches the whole name;
4. a prefix, at the first slash, that names a configured provider, directly, by a built-in alias, or by the type
   that only this provider has; it is then stripped;
5. the default provider.

Any other prefix is part of the model's name (`Qwen/Qwen2.5-7B`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import translate
from typing import NamedTuple

from batchrouter.domain.line_errors import LineFault

CACHE_MAX = 4096

# Names under which other gateways and model hubs know a provider (providers: model names and configuration).
BUILT_IN_ALIASES: Mapping[str, str] = {
    "google": "gemini",
    "google-ai-studio": "gemini",
    "x-ai": "xai",
    "mistralai": "mistral",
    "together": "together_ai",
    "fireworks": "fireworks_ai",
    "z-ai": "zai",
    "moonshotai": "moonshot",
    "qwen": "dashscope",
    "azure-openai": "azure",
}

# The type of everything that speaks OpenAI's dialect says nothing of whose models are there.
_GENERIC_TYPE = "openai"

# Their own model names carry other vendors' prefixes, so that such a prefix contradicts nothing.
AGGREGATORS = frozenset(("openrouter", "groq", "together_ai", "together", "fireworks_ai", "fireworks", "deepinfra"))


@dataclass(frozen=True, slots=True)
class RouteProvider:
    """What routing knows of a configured provider.

    `models` are globs over the whole model name, matched with regard to case. An `aggregator` serves models whose
    names carry other vendors' prefixes; those in `AGGREGATORS` are known to.
    """

    name: str
    type: str
    models: tuple[str, ...] = ()
    aggregator: bool = False


class Resolved(NamedTuple):
    """A provider's name and the model's name there; `rewritten` if that is not the name that the line has."""

    provider: str
    model: str
    rewritten: bool


class RoutingError(NamedTuple):
    """MODEL_NOT_FOUND, PROVIDER_NOT_FOUND or PROVIDER_MODEL_MISMATCH."""

    fault: LineFault


class _Target(NamedTuple):
    provider: str
    model: str


class Router:
    """Resolves a line's (provider field, model); answers are cached."""

    def __init__(
        self, providers: Sequence[RouteProvider], aliases: Mapping[str, str], default_provider: str | None
    ) -> None:
        """`aliases` maps a model's name to another, with or without a prefix. Earlier providers' globs go first."""
        self._providers = {provider.name: provider for provider in providers}
        types = [p.type for p in providers if p.type != _GENERIC_TYPE]
        self._by_type = {p.type: p.name for p in providers if types.count(p.type) == 1}
        self._globs = {p.name: re.compile("|".join(map(translate, p.models))).match for p in providers if p.models}
        self._default = default_provider
        self._aliases = {name: self._alias_target(target) for name, target in aliases.items()}
        self._cache: dict[tuple[str, str], Resolved | RoutingError] = {}

    def resolve(self, provider_field: str, model: str) -> Resolved | RoutingError:
        """Either may be empty: the line has none. Without a model, only provider field and default decide."""
        key = (provider_field, model)
        found = self._cache.get(key)
        if found is None:
            found = self._resolve(provider_field, model)
            if len(self._cache) >= CACHE_MAX:
                self._cache.clear()
            self._cache[key] = found
        return found

    def _resolve(self, provider_field: str, model: str) -> Resolved | RoutingError:
        target = self._by_field(provider_field, model) if provider_field else self._by_model(model)
        if isinstance(target, LineFault):
            return RoutingError(target)
        return Resolved(target.provider, target.model, target.model != model)

    def _by_field(self, field: str, model: str) -> _Target | LineFault:
        provider = self._named(field)
        if provider is None:
            return LineFault.PROVIDER_NOT_FOUND
        if self._alias_at(provider, model) is None and not self._serves(provider, model):
            prefix, rest = self._split(model)
            if prefix == provider:
                model = rest
            elif prefix is not None and not self._aggregates(provider):
                return LineFault.PROVIDER_MODEL_MISMATCH
        return _Target(provider, self._alias_at(provider, model) or model)

    def _by_model(self, model: str) -> _Target | LineFault:
        return self._aliases.get(model) or self._by_glob(model) or self._by_prefix(model) or self._by_default(model)

    def _by_glob(self, model: str) -> _Target | None:
        for name in self._globs:
            if self._serves(name, model):
                return _Target(name, model)
        return None

    def _by_prefix(self, model: str) -> _Target | None:
        provider, rest = self._split(model)
        return None if provider is None else _Target(provider, self._alias_at(provider, rest) or rest)

    def _by_default(self, model: str) -> _Target | LineFault:
        return _Target(self._default, model) if self._default else LineFault.MODEL_NOT_FOUND

    def _alias_target(self, target: str) -> _Target | LineFault:
        """Where an alias leads. Here a prefix goes before globs: whoever wrote the alias named the provider."""
        provider, rest = self._split(target)
        if provider is not None:
            return _Target(provider, rest)
        return self._by_glob(target) or self._by_default(target)

    def _alias_at(self, provider: str, model: str) -> str | None:
        """What an alias makes of a model whose provider is already known; None if it leads elsewhere."""
        target = self._aliases.get(model)
        return target.model if isinstance(target, _Target) and target.provider == provider else None

    def _serves(self, provider: str, model: str) -> bool:
        """Whether one of the provider's own globs claims this whole name."""
        matches = self._globs.get(provider)
        return bool(model and matches and matches(model))

    def _aggregates(self, provider: str) -> bool:
        return self._providers[provider].aggregator or provider in AGGREGATORS

    def _split(self, model: str) -> tuple[str | None, str]:
        """(provider, rest) at the first slash; provider is None if what stands there names none."""
        prefix, slash, rest = model.partition("/")
        provider = self._named(prefix) if slash and rest else None
        return provider, rest

    def _named(self, name: str) -> str | None:
        """The configured provider of this name, built-in alias or type."""
        alias = BUILT_IN_ALIASES.get(name, name)
        for known in (name, alias):
            if known in self._providers:
                return known
        return self._by_type.get(alias)
