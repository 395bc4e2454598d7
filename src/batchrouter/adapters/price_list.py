"""What genai-prices knows, as rate cards: run as a program of its own, because the library takes 40 MB of memory and is
asked a few times a day.

    python -m batchrouter.adapters.price_list < questions > answers

Both are one line of JSON: a list of `Question`, and a list of as many rate cards or nulls.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from importlib.metadata import version
from typing import Any

import msgspec

from batchrouter.domain.cost import RateCard, Tier

PICO_PER_MTOK = 1_000_000
"""A dollar for a million tokens, in trillionths of a dollar for one."""


class Question(msgspec.Struct, frozen=True):
    """`provider` and `model` as genai-prices names them; `processing` is `standard`, `batch` or `flex`. `share` is what
    a discounted mode costs of the standard price where the list has no price of its own for it; None: then unknown."""

    provider: str
    model: str
    processing: str
    share: float | None
    at_unix_s: float


def main() -> None:
    """Answer the questions on standard input."""
    questions = msgspec.json.decode(sys.stdin.buffer.read(), type=list[Question])
    sys.stdout.buffer.write(msgspec.json.encode([card_of(question) for question in questions]) + b"\n")


def card_of(question: Question) -> RateCard | None:
    """None: the list does not have this model, or not at this kind of price; or the list is not installed."""
    try:
        from genai_prices import Usage, calc_price
    except ImportError:
        return None

    kind = "service_tier" if question.processing == "flex" else "processing"  # as the list calls them
    context = None if question.processing == "standard" else {kind: question.processing}
    at = datetime.fromtimestamp(question.at_unix_s, UTC)
    try:
        found = calc_price(
            Usage(input_tokens=1),
            question.model,
            provider_id=question.provider,
            genai_request_timestamp=at,
            price_context=context,
        )
    except (LookupError, ValueError):
        return None
    share = Decimal(1)
    if context is not None and not _has_variant(found.model, kind, question.processing, at):
        # A synchronous call at the price of a batch: the list knows few of them by that name.
        if question.processing == "flex" and _has_variant(found.model, "processing", "batch", at):
            return card_of(msgspec.structs.replace(question, processing="batch"))
        if question.share is None:
            return None
        share = Decimal(str(question.share))
    tiers = _tiers(found.model_price, share)
    return None if tiers is None else RateCard(tiers, f"genai-prices {version('genai-prices')}")


def _has_variant(model: Any, kind: str, processing: str, at: datetime) -> bool:
    """Whether the list has a price for this kind of processing at that time."""
    return any(
        variant.when.get(kind) == processing and (variant.constraint is None or variant.constraint.active(at))
        for variant in model.price_variants or ()
    )


def _tiers(price: Any, share: Decimal) -> tuple[Tier, ...] | None:
    """A price that the list does not name: input read from or written to a cache costs what input does, and output
    nothing (embeddings have none)."""
    if price.input_mtok is None:
        return None
    starts = {0}
    for each in (price.input_mtok, price.output_mtok, price.cache_read_mtok, price.cache_write_mtok):
        starts.update(tier.start for tier in getattr(each, "tiers", ()))
    return tuple(_tier(price, above, share) for above in sorted(starts))


def _tier(price: Any, above: int, share: Decimal) -> Tier:
    plain = _at(price.input_mtok, above, share)

    def or_plain(each: Any) -> int:
        return plain if each is None else _at(each, above, share)

    output = 0 if price.output_mtok is None else _at(price.output_mtok, above, share)
    return Tier(
        above=above,
        input=plain,
        cached=or_plain(price.cache_read_mtok),
        written=or_plain(price.cache_write_mtok),
        output=output,
    )


def _at(price: Any, above: int, share: Decimal) -> int:
    """In trillionths of a dollar for one token of a request with just more than `above` input tokens."""
    dollars = getattr(price, "base", price)
    for tier in getattr(price, "tiers", ()):
        if tier.start <= above:
            dollars = tier.price
    return int((dollars * share * PICO_PER_MTOK).to_integral_value())


def ask(questions: Sequence[Question]) -> bytes:
    """The questions as `main` reads them."""
    return msgspec.json.encode(questions)


if __name__ == "__main__":
    main()
