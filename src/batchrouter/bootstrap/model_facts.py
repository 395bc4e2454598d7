"""What Anthropic's models can do, asked of Anthropic about once an hour while a lane of it is in use."""

from __future__ import annotations

import asyncio
import re
import weakref
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from batchrouter.ports.clock import Clock
from batchrouter.providers.anthropic import Facts, facts_from_listing

EVERY_S = 3600.0
Listing = Callable[[str], Awaitable[Sequence[Mapping[str, Any]]]]


class ModelFacts:
    """`listing` asks a provider for the raw entries of its list of models; empty when it does not tell. Failing to
    list changes nothing: the facts that are shipped, or were told before, hold on."""

    def __init__(self, listing: Listing, clock: Clock) -> None:
        self._listing = listing
        self._clock = clock
        self._known: dict[str, dict[str, Facts]] = {}
        self._told: dict[str, list[tuple[str, weakref.WeakMethod[Callable[[Facts], None]]]]] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}

    def of(self, provider: str, model: str) -> Facts | None:
        """None: what is shipped holds."""
        return _facts_in(self._known.get(provider, {}), model)

    def tell(self, provider: str, model: str, learn: Callable[[Facts], None]) -> None:
        """Call `learn` with the model's facts whenever they are told, as long as its owner lives. Begins to ask."""
        wires = self._told.setdefault(provider, [])
        wires[:] = [each for each in wires if each[1]() is not None]
        wires.append((model, weakref.WeakMethod(learn)))
        if provider not in self._asking:
            self._asking[provider] = asyncio.ensure_future(self._ask(provider))

    async def aclose(self) -> None:
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, provider: str) -> None:
        while True:
            self._learn(provider, await self._listing(provider))
            await self._clock.sleep(EVERY_S)

    def _learn(self, provider: str, entries: Sequence[Mapping[str, Any]]) -> None:
        found = facts_from_listing({"data": list(entries)})
        known = self._known.setdefault(provider, {})
        known.update(found)
        for model, method in self._told.get(provider, ()):
            learn, facts = method(), _facts_in(known, model)
            if learn is not None and facts is not None:
                learn(facts)


def _facts_in(known: Mapping[str, Facts], model: str) -> Facts | None:
    """Lists name snapshots (`claude-sonnet-4-5-20250929`), lines often what stands for the newest of them."""
    if model in known:
        return known[model]
    dated = [name for name in known if _date(name.removeprefix(f"{model}-"))]
    return known[max(dated)] if dated else None


_date = re.compile(r"\d{8}").fullmatch
