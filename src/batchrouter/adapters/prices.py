"""Prices: those of the configuration, else those of genai-prices, asked in a program of its own (`price_list`)."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import msgspec

from batchrouter.adapters import price_list
from batchrouter.adapters.price_list import Question
from batchrouter.domain.cost import RateCard, Tier
from batchrouter.domain.shard import LaneKey, LaneMode
from batchrouter.ports.clock import Clock

log = logging.getLogger(__name__)

KEEP_S = 3600.0
"""Some models cost less at night."""
KEPT_MAX = 4096
WAIT_S = 30.0
TRIED_AGAIN_S = (0.5, 2.0, 5.0)
AGAIN_S = 60.0
"""After it could not be asked."""
_PROCESSING = {LaneMode.REALTIME: "standard", LaneMode.BATCH: "batch", LaneMode.FLEX: "flex"}
_ANSWERS = msgspec.json.Decoder(list[RateCard | None])


@dataclass(frozen=True, slots=True)
class OwnPrice:
    """The configuration's price of the models that match a glob, in dollars for a million tokens. `share` is what a
    discounted mode costs of it; None: nothing is known of those."""

    models: str
    input: float
    output: float
    cached: float | None = None
    written: float | None = None
    share: float | None = None

    def card(self, mode: LaneMode) -> RateCard | None:
        share = 1.0 if mode is LaneMode.REALTIME else self.share
        if share is None:
            return None

        def pico(dollars: float) -> int:
            return round(dollars * share * price_list.PICO_PER_MTOK)

        tier = Tier(
            input=pico(self.input),
            cached=pico(self.input if self.cached is None else self.cached),
            written=pico(self.input if self.written is None else self.written),
            output=pico(self.output),
        )
        return RateCard((tier,), "configuration")


@dataclass(frozen=True, slots=True)
class PriceSource:
    """Where one provider's prices are from. `listed`: its name in genai-prices, None if it has none there. `share`:
    what a discounted mode costs of the standard price, for models whose discounted price the list does not have."""

    listed: str | None = None
    share: float | None = None
    own: tuple[OwnPrice, ...] = ()


class ListedPrices:
    """`Prices`. Belongs to the event loop."""

    def __init__(self, sources: Mapping[str, PriceSource], clock: Clock) -> None:
        self._sources = sources
        self._clock = clock
        self._kept: dict[LaneKey, tuple[float, RateCard | None]] = {}
        self._asking = asyncio.Lock()
        self._wanted: dict[LaneKey, None] = {}
        """By all that wait for the answer to another's questions: asked together then, for a program takes its time to
        start."""
        self._told = False

    async def cards(self, keys: Sequence[LaneKey]) -> list[RateCard | None]:
        self._wanted.update(dict.fromkeys(keys))
        async with self._asking:
            now_s = self._clock.mono_s()
            wanted, self._wanted = self._wanted | dict.fromkeys(keys), {}
            missing = [key for key in wanted if not self._fresh(key, now_s)]
            if len(self._kept) + len(missing) > KEPT_MAX:
                self._kept.clear()
                missing = list(wanted)
            await self._fill(missing, now_s)
            return [self._kept[key][1] for key in keys]

    def _fresh(self, key: LaneKey, now_s: float) -> bool:
        kept = self._kept.get(key)
        return kept is not None and now_s - kept[0] < KEEP_S

    async def _fill(self, keys: Sequence[LaneKey], now_s: float) -> None:
        asked: list[LaneKey] = []
        questions: list[Question] = []
        at_s = self._clock.unix_ms() / 1000
        for key in keys:
            source = self._sources.get(key.provider, PriceSource())
            own = next((price for price in source.own if fnmatchcase(key.model, price.models)), None)
            if own is not None or source.listed is None:
                self._kept[key] = (now_s, None if own is None else own.card(key.mode))
                continue
            asked.append(key)
            questions.append(Question(source.listed, key.model, _PROCESSING[key.mode], source.share, at_s))
        if asked:
            cards = await self._ask(questions)
            if cards is None:
                cards, now_s = [None] * len(asked), now_s - KEEP_S + AGAIN_S
            for key, card in zip(asked, cards, strict=True):
                self._kept[key] = (now_s, card)

    async def _ask(self, questions: Sequence[Question]) -> list[RateCard | None] | None:
        """None: nobody answered. Tried a few times, since whoever asks may keep what it hears for long."""
        for wait_s in TRIED_AGAIN_S:
            answer = await self._ask_once(questions)
            if answer is not None:
                return answer
            await self._clock.sleep(wait_s)
        return await self._ask_once(questions)

    async def _ask_once(self, questions: Sequence[Question]) -> list[RateCard | None] | None:
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                price_list.__name__,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
            try:
                async with asyncio.timeout(WAIT_S):
                    out, _ = await process.communicate(price_list.ask(questions))
            except BaseException:
                process.kill()
                await process.wait()
                raise
            return _ANSWERS.decode(out)
        except (OSError, TimeoutError, msgspec.DecodeError) as error:
            if not self._told:
                self._told = True
                log.warning("prices are unknown: genai-prices could not be asked (%s)", type(error).__name__)
            return None
