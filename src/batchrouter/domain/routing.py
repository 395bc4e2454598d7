"""Which provider runs a line, and under what name that provider knows the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from batchrouter.domain.line_errors import LineFault


@dataclass(frozen=True, slots=True)
class RouteProvider:
    """What routing knows of a configured provider.

    `models` are globs over the whole model name, as configured. An `aggregator` serves models whose names carry other
    vendors' prefixes (OpenRouter, Groq, Together…), so a foreign prefix is no contradiction there.
    """

    name: str
    type: str
    models: tuple[str, ...] = ()
    aggregator: bool = False


class Resolved(NamedTuple):
    """A provider's name and the model's name there; `rewritten` if the body must be changed to that name."""

    provider: str
    model: str
    rewritten: bool


class RoutingError(NamedTuple):
    """Why no provider was found: MODEL_NOT_FOUND, PROVIDER_NOT_FOUND, PROVIDER_MODEL_MISMATCH or MODEL_MISSING."""

    fault: LineFault


class Router:
    """Resolves (provider field, model) by the order of the configuration's documentation; answers are cached."""

    def __init__(
        self, providers: Sequence[RouteProvider], aliases: Mapping[str, str], default_provider: str | None
    ) -> None:
        raise NotImplementedError

    def resolve(self, provider_field: str, model: str) -> Resolved | RoutingError:
        """Either may be empty: the line has none. A missing model is routed by provider field or default alone."""
        raise NotImplementedError
