"""Estimates as they are sent; ours, OpenAI has none. Costs are dollars, times seconds; null is unknown."""

from __future__ import annotations

from collections import Counter
from typing import Literal

from msgspec import Struct

from batchrouter.api.batch_objects import dollars
from batchrouter.domain.estimate import percentile
from batchrouter.service.quotes import LaneQuote, ModeQuote, Quote


class InputTokens(Struct):
    """Estimated by size, about four bytes a token; `p50` to `max` are of single lines."""

    total: int
    p50: int
    p90: int
    p99: int
    max: int


class OutputTokens(Struct):
    """`most`: the bound that the lines themselves set (`max_tokens` and its like), from a sample of them; null when one
    of it sets none."""

    most: int | None


class TokensObject(Struct):
    input: InputTokens
    output: OutputTokens


class ModeObject(Struct):
    """One way to run the lane's lines: realtime, batch or flex. `cost_of_inputs` is what it costs at least, `cost_most`
    the bound; `seconds` the time at the lane's known pace; `prices` where the prices are from."""

    mode: str
    cost_of_inputs: float | None
    cost_most: float | None
    seconds: float | None
    prices: str | None


class LaneEstimate(Struct):
    """`chosen` is the mode that the lines would get now, in a batch of this file with the longest window, where they do
    not ask for another themselves."""

    provider: str
    model: str
    lines: int
    tokens: TokensObject
    chosen: str
    modes: list[ModeObject]


class EstimateObject(Struct):
    """`faulty` lines would make the batch fail. Sums over lanes are in `tokens`; null where one lane's is not known."""

    object: Literal["file.estimate"]
    file_id: str
    lines: int
    faulty: int
    bytes: int
    tokens: TokensObject
    lanes: list[LaneEstimate]


def estimate_object(file_id: str, quote: Quote) -> EstimateObject:
    sizes: Counter[int] = Counter()
    for lane in quote.lanes:
        sizes.update(lane.size.sizes)
    outputs = [lane.size.output_most for lane in quote.lanes]
    return EstimateObject(
        object="file.estimate",
        file_id=file_id,
        lines=quote.lines,
        faulty=quote.faulty,
        bytes=quote.bytes,
        tokens=_tokens(
            sizes,
            sum(lane.size.tokens for lane in quote.lanes),
            max((lane.size.largest for lane in quote.lanes), default=0),
            None if None in outputs else sum(each or 0 for each in outputs),
        ),
        lanes=[_lane(lane) for lane in quote.lanes],
    )


def _lane(lane: LaneQuote) -> LaneEstimate:
    size = lane.size
    return LaneEstimate(
        provider=size.provider,
        model=size.model,
        lines=size.lines,
        tokens=_tokens(size.sizes, size.tokens, size.largest, size.output_most),
        chosen=lane.chosen.value,
        modes=[_mode(mode) for mode in lane.modes],
    )


def _mode(quote: ModeQuote) -> ModeObject:
    return ModeObject(
        mode=quote.mode.value,
        cost_of_inputs=None if quote.inputs is None else dollars(quote.inputs),
        cost_most=None if quote.most is None else dollars(quote.most),
        seconds=quote.seconds,
        prices=quote.source,
    )


def _tokens(sizes: Counter[int], total: int, largest: int, most: int | None) -> TokensObject:
    return TokensObject(
        InputTokens(total, percentile(sizes, 0.5), percentile(sizes, 0.9), percentile(sizes, 0.99), largest),
        OutputTokens(most),
    )
