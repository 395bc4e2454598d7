"""What a file would cost and how long it would take: for people, and before a batch with a `max_cost` is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from batchrouter.domain.cost import RateCard
from batchrouter.domain.estimate import LaneSize
from batchrouter.domain.file import File
from batchrouter.domain.lane_choice import LaneOptions, choose
from batchrouter.domain.line import decode_line
from batchrouter.domain.line_index import IndexRecord
from batchrouter.domain.routing import Router, RoutingError
from batchrouter.domain.shard import LaneKey, LaneMode
from batchrouter.errors import BlobMissing, InputError
from batchrouter.input import Input
from batchrouter.ports.blobs import Blobs
from batchrouter.ports.prices import Prices

SAMPLE_LINES = 256
"""Lines of a file that are read to learn how long answers may be; evenly spread, of bounded size."""
SAMPLE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class ModeQuote:
    """One way to run a lane's lines. Costs are billionths of a dollar: `inputs` what the inputs alone cost, `most` the
    bound; None where price or bound are unknown. `seconds` is None where nobody can tell."""

    mode: LaneMode
    inputs: int | None
    most: int | None
    seconds: float | None
    source: str | None


@dataclass(frozen=True, slots=True)
class LaneQuote:
    """`chosen` is the mode that the lines would get now, in a batch of this file with the longest window, where they do
    not ask for another themselves."""

    size: LaneSize
    chosen: LaneMode
    modes: tuple[ModeQuote, ...]


@dataclass(frozen=True, slots=True)
class Quote:
    """`faulty` lines would make a batch of this file fail; they are in none of the lanes."""

    lines: int
    bytes: int
    faulty: int
    lanes: tuple[LaneQuote, ...]


class Quotes:
    """`options` tells how lines of a provider and model may be run, by the configuration; `window_s` is the longest
    window, `margin_s` what overtaking keeps in hand of it. Lines of more providers and models than `lanes_max`, which
    a batch may have, are faulty."""

    def __init__(
        self,
        blobs: Blobs,
        router: Router,
        options: Callable[[str, str], LaneOptions],
        prices: Prices,
        *,
        window_s: float = 86_400.0,
        margin_s: float = 900.0,
        lanes_max: int = 64,
    ) -> None:
        self._blobs = blobs
        self._router = router
        self._options = options
        self._prices = prices
        self._window_s = window_s
        self._margin_s = margin_s
        self._lanes_max = lanes_max

    async def quote(self, file: File) -> Quote | None:
        """None for a file that is no batch input, or whose bytes are gone."""
        source = await self._open(file)
        if source is None:
            return None
        sizes, faulty = await self._sizes(source)
        total = sum(size.lines for size in sizes)
        modes = [_modes(self._options(size.provider, size.model)) for size in sizes]
        # In one go: prices that are not known yet may need a program, and others wait for it too.
        keys = [LaneKey(s.provider, s.model, mode=mode) for s, some in zip(sizes, modes, strict=True) for mode in some]
        cards = dict(zip(keys, await self._prices.cards(keys), strict=True))
        lanes = [self._lane(size, some, cards, total) for size, some in zip(sizes, modes, strict=True)]
        return Quote(source.totals.lines, file.bytes, faulty, tuple(lanes))

    async def unpriced(self, file: File) -> list[str]:
        """`provider/model` of every lane of the file that has no price in real time, where any of its lines may end."""
        source = await self._open(file)
        if source is None:
            return []
        sizes, _ = await self._sizes(source, sampled=False)
        cards = await self._prices.cards([LaneKey(size.provider, size.model) for size in sizes])
        return [f"{size.provider}/{size.model}" for size, card in zip(sizes, cards, strict=True) if card is None]

    async def _open(self, file: File) -> Input | None:
        if file.blob_key is None or file.index_key is None:
            return None
        try:
            return await Input.open(self._blobs, file.blob_key, file.index_key)
        except (BlobMissing, InputError):
            return None

    async def _sizes(self, source: Input, *, sampled: bool = True) -> tuple[list[LaneSize], int]:
        lanes: dict[tuple[int, int], LaneSize | None] = {}
        by_key: dict[LaneKey, LaneSize] = {}
        faulty = place = 0
        every = max(1, source.totals.lines // SAMPLE_LINES)
        sample: list[tuple[LaneSize, tuple[int, int]]] = []
        async for records in source.slices():
            lengths: dict[tuple[int, int], list[int]] = {}
            for record in records:
                place += 1
                pair = (record.provider, record.model)
                if record.error:
                    faulty += 1
                    continue
                first = pair not in lanes
                if first:
                    lanes[pair] = self._size_of(source, by_key, record)
                size = lanes[pair]
                if size is None:
                    faulty += 1
                    continue
                lengths.setdefault(pair, []).append(record.length)
                if sampled and (first or place % every == 0) and record.length <= SAMPLE_BYTES:
                    sample.append((size, (record.offset, record.length)))
            for pair, of_pair in lengths.items():
                size = lanes[pair]
                assert size is not None
                size.add(of_pair)
            await self._read(source, sample)
            sample = []
        return list(by_key.values()), faulty

    def _size_of(self, source: Input, by_key: dict[LaneKey, LaneSize], record: IndexRecord) -> LaneSize | None:
        names = source.names
        found = self._router.resolve(names.providers[record.provider], names.models[record.model])
        if isinstance(found, RoutingError):
            return None
        key = LaneKey(found.provider, found.model)
        if key not in by_key and len(by_key) < self._lanes_max:
            by_key[key] = LaneSize(found.provider, found.model, names.urls[record.url])
        return by_key.get(key)

    async def _read(self, source: Input, sample: Sequence[tuple[LaneSize, tuple[int, int]]]) -> None:
        for (size, _), line in zip(sample, await source.lines([span for _, span in sample]), strict=True):
            try:
                size.sample(decode_line(line)[1])
            except InputError:
                continue

    def _lane(
        self, size: LaneSize, modes: Sequence[LaneMode], cards: Mapping[LaneKey, RateCard | None], total: int
    ) -> LaneQuote:
        options = self._options(size.provider, size.model)
        told = [
            _mode_quote(mode, size, options, cards[LaneKey(size.provider, size.model, mode=mode)]) for mode in modes
        ]
        chosen = choose(
            None,
            options,
            endpoint=size.url,
            lines=size.lines,
            rest=total,
            left_s=self._window_s,
            margin_s=self._margin_s,
        )
        return LaneQuote(size, chosen, tuple(told))


def _modes(options: LaneOptions) -> list[LaneMode]:
    modes = [LaneMode.REALTIME]
    modes += [LaneMode.BATCH] if options.batch else []
    modes += [LaneMode.FLEX] if options.flex else []
    return modes


def _mode_quote(mode: LaneMode, size: LaneSize, options: LaneOptions, card: RateCard | None) -> ModeQuote:
    inputs, most = (None, None) if card is None else size.cost(card)
    seconds = size.lines / options.rate if mode is LaneMode.REALTIME and options.rate > 0 else None
    return ModeQuote(mode, inputs, most, seconds, None if card is None else card.source)
