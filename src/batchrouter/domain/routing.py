"""Which provider runs a line, and under what name that provider knows the model.

Order, first match wins:

1. the line's `provider` field;
2. an exact alias in the configuration's `models`;
3. a provider's `models` glob that matches the whole name;
4. a prefix, at the first slash, that names a configured provider, directly or by a name under which others know it;
   it is then stripped;
5. a name that only one vendor serves (`claude-*`, `gpt-4o`), if exactly one configured provider is of that vendor;
6. the default provider.

Any other prefix is part of the model's name (`Qwen/Qwen2.5-7B`). Where Anthropic itself runs the line, the spellings
of a Claude model that are in use elsewhere become Anthropic's (`claude_name`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import translate
from typing import NamedTuple

from batchrouter.domain.claude_names import claude_name
from batchrouter.domain.line_errors import LineFault

CACHE_MAX = 4096

# The types of everything that speaks OpenAI's dialect say nothing of whose models are there.
_GENERIC_TYPES = frozenset(("openai", "openai-compatible"))
_CLAUDE_TYPE = "anthropic"


@dataclass(frozen=True, slots=True)
class RouteProvider:
    """What routing knows of a configured provider.

    `models` are globs over the whole model name, matched with regard to case. An `aggregator` serves models whose
    names carry other vendors' prefixes. `alone`: globs of the names that only this provider's vendor serves. `also`:
    names under which others know it, beside its type. Where several providers could be meant by one of these, it is
    the one whose name is its type, and else none.
    """

    name: str
    type: str
    models: tuple[str, ...] = ()
    aggregator: bool = False
    alone: tuple[str, ...] = ()
    also: tuple[str, ...] = ()


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
        self,
        providers: Sequence[RouteProvider],
        aliases: Mapping[str, str],
        default_provider: str | None,
        fallbacks: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """`aliases` maps a model's name to another, with or without a prefix. Earlier providers' globs go first.
        `fallbacks` maps a model's name to others, each as a line could have it; names that lead nowhere are passed
        over."""
        self._providers = {provider.name: provider for provider in providers}
        self._globs = {p.name: _matcher(p.models) for p in providers if p.models}
        self._alone = {p.name: _matcher(p.alone) for p in providers if p.alone}
        self._known = self._names_of_others()
        self._default = default_provider
        self._aliases = {name: self._alias_target(target) for name, target in aliases.items()}
        self._cache: dict[tuple[str, str], Resolved | RoutingError] = {}
        self._fallbacks: dict[tuple[str, str], tuple[Resolved, ...]] = {}
        for model, others in (fallbacks or {}).items():
            start = self.resolve("", model)
            if isinstance(start, Resolved):
                ends = (self.resolve("", other) for other in others)
                self._fallbacks[start[:2]] = tuple(end for end in ends if isinstance(end, Resolved))

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

    def fallbacks(self, provider_field: str, model: str) -> tuple[Resolved, ...]:
        """Where a line with this provider field and model goes next when its lane cannot serve it, in order. Those of
        a fallback are not followed."""
        found = self.resolve(provider_field, model)
        if isinstance(found, RoutingError):
            return ()
        ends = self._fallbacks.get(found[:2], ())
        return tuple(Resolved(end.provider, end.model, end.model != model) for end in ends)

    def _resolve(self, provider_field: str, model: str) -> Resolved | RoutingError:
        target = self._by_field(provider_field, model) if provider_field else self._by_model(model)
        if isinstance(target, LineFault):
            return RoutingError(target)
        name = self._spelt(target.provider, target.model)
        return Resolved(target.provider, name, name != model)

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
        return (
            self._aliases.get(model)
            or self._by_glob(model)
            or self._by_prefix(model)
            or self._by_vendor(model)
            or self._by_default(model)
        )

    def _by_glob(self, model: str) -> _Target | None:
        for name in self._globs:
            if self._serves(name, model):
                return _Target(name, model)
        return None

    def _by_prefix(self, model: str) -> _Target | None:
        provider, rest = self._split(model)
        return None if provider is None else _Target(provider, self._alias_at(provider, rest) or rest)

    def _by_vendor(self, model: str) -> _Target | None:
        name = self._the_one([name for name, matches in self._alone.items() if matches(model)])
        return None if name is None else _Target(name, model)

    def _by_default(self, model: str) -> _Target | LineFault:
        return _Target(self._default, model) if self._default else LineFault.MODEL_NOT_FOUND

    def _alias_target(self, target: str) -> _Target | LineFault:
        """Where an alias leads. Here a prefix goes before globs: whoever wrote the alias named the provider."""
        provider, rest = self._split(target)
        if provider is not None:
            return _Target(provider, rest)
        return self._by_glob(target) or self._by_vendor(target) or self._by_default(target)

    def _alias_at(self, provider: str, model: str) -> str | None:
        """What an alias makes of a model whose provider is already known; None if it leads elsewhere."""
        target = self._aliases.get(model)
        return target.model if isinstance(target, _Target) and target.provider == provider else None

    def _serves(self, provider: str, model: str) -> bool:
        """Whether one of the provider's own globs claims this whole name, as the line or as the provider spells it."""
        matches = self._globs.get(provider)
        return bool(model and matches and (matches(model) or matches(self._spelt(provider, model))))

    def _spelt(self, provider: str, model: str) -> str:
        return claude_name(model) if self._providers[provider].type == _CLAUDE_TYPE else model

    def _aggregates(self, provider: str) -> bool:
        return self._providers[provider].aggregator

    def _split(self, model: str) -> tuple[str | None, str]:
        """(provider, rest) at the first slash; provider is None if what stands there names none."""
        prefix, slash, rest = model.partition("/")
        provider = self._named(prefix) if slash and rest else None
        return provider, rest

    def _named(self, name: str) -> str | None:
        """The configured provider of this name, or the one that others call so."""
        return name if name in self._providers else self._known.get(name)

    def _names_of_others(self) -> dict[str, str]:
        claims: dict[str, list[str]] = {}
        for provider in self._providers.values():
            for name in {provider.type} - _GENERIC_TYPES | set(provider.also):
                claims.setdefault(name, []).append(provider.name)
        return {name: one for name, claimants in claims.items() if (one := self._the_one(claimants)) is not None}

    def _the_one(self, names: list[str]) -> str | None:
        if len(names) > 1:
            names = [name for name in names if name == self._providers[name].type]
        return names[0] if len(names) == 1 else None


def _matcher(globs: Sequence[str]) -> Callable[[str], re.Match[str] | None]:
    return re.compile("|".join(map(translate, globs))).match
