"""Rate cards against the library that they are made from, and as the server asks for them."""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from genai_prices import Usage, calc_price, data_snapshot

from batchrouter.adapters.memory.clock import StepClock
from batchrouter.adapters.price_list import Question, card_of
from batchrouter.adapters.prices import AGAIN_S, KEEP_S, ListedPrices, OwnPrice, PriceSource
from batchrouter.domain.cost import RateCard
from batchrouter.domain.shard import LaneKey, LaneMode
from batchrouter.domain.tokens import Tokens

NOW_S = 1_795_132_800.0  # 2026-11-20
PROVIDERS = ("openai", "anthropic", "google", "mistral", "groq", "deepseek", "x-ai")


@pytest.mark.parametrize("processing", ["standard", "batch"])
def test_cards_say_what_the_library_says_for_every_model_and_tier(processing: str) -> None:
    chance, seen = random.Random(7), 0
    for provider in data_snapshot.get_snapshot().providers:
        if provider.id not in PROVIDERS:
            continue
        for model in provider.models:
            card = card_of(Question(provider.id, model.id, processing, None, NOW_S))
            if card is None:
                continue
            for input_tokens in (1, 999, 199_999, 200_000, 200_001, 600_000):
                cached, written = chance.randint(0, input_tokens // 2), chance.randint(0, input_tokens // 4)
                output = chance.randint(0, 5000)
                usage = Usage(
                    input_tokens=input_tokens,
                    cache_read_tokens=cached,
                    cache_write_tokens=written,
                    output_tokens=output,
                )
                want = calc_price(
                    usage,
                    model.id,
                    provider_id=provider.id,
                    genai_request_timestamp=datetime.fromtimestamp(NOW_S, UTC),
                    price_context=None if processing == "standard" else {"processing": processing},
                ).total_price
                got = card.cost(Tokens(input_tokens, cached, output, 0), written)
                # What is written to a cache at no price of its own costs what input does; the library says the same.
                assert abs(want * 1_000_000_000 - got) <= 1, (provider.id, model.id, input_tokens)
                seen += 1
    assert seen > (300 if processing == "standard" else 100)


def test_a_batch_price_that_is_not_listed_is_the_share_or_unknown() -> None:
    listed = card_of(Question("mistral", "mistral-large-latest", "standard", None, NOW_S))
    half = card_of(Question("mistral", "mistral-large-latest", "batch", 0.5, NOW_S))
    assert listed is not None
    assert half is not None
    assert half.tiers[0].input * 2 == listed.tiers[0].input
    assert card_of(Question("mistral", "mistral-large-latest", "batch", None, NOW_S)) is None


def test_a_flex_price_of_the_list_s_own_goes_first() -> None:
    """It halves what a cache gave as well, which a batch's price does not."""
    batch, flex = (card_of(Question("openai", "o3", kind, None, NOW_S)) for kind in ("batch", "flex"))
    assert batch is not None
    assert flex is not None
    assert (batch.tiers[0].input, batch.tiers[0].cached) == (1_000_000, 500_000)
    assert (flex.tiers[0].input, flex.tiers[0].cached) == (1_000_000, 250_000)


def test_flex_costs_what_a_batch_does() -> None:
    assert card_of(Question("openai", "gpt-5", "flex", None, NOW_S)) == card_of(
        Question("openai", "gpt-5", "batch", None, NOW_S)
    )


def test_a_price_that_was_not_yet_in_force_is_not_used() -> None:
    early = card_of(Question("openai", "gpt-5", "batch", None, 1_700_000_000.0))
    assert early is None
    assert card_of(Question("openai", "gpt-5", "batch", 0.5, 1_700_000_000.0)) is not None


def test_what_nobody_knows_has_no_price() -> None:
    assert card_of(Question("openai", "no-such-model", "standard", 0.5, NOW_S)) is None
    assert card_of(Question("no-such-provider", "gpt-5", "standard", 0.5, NOW_S)) is None


def sources() -> dict[str, PriceSource]:
    return {
        "openai": PriceSource("openai", 0.5),
        "claude": PriceSource("anthropic", 0.5),
        "local": PriceSource(own=(OwnPrice("qwen*", 0.0, 0.0), OwnPrice("*", 1.0, 2.0, cached=0.25, share=0.5))),
    }


async def test_the_list_is_asked_once_for_all_and_then_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = StepClock()
    prices = ListedPrices(sources(), clock)
    keys = [
        LaneKey("openai", "gpt-5"),
        LaneKey("openai", "gpt-5", mode=LaneMode.BATCH),
        LaneKey("claude", "claude-haiku-4-5"),
        LaneKey("openai", "made-up"),
        LaneKey("nobody", "gpt-5"),
    ]
    cards = await prices.cards(keys)
    assert [card is None for card in cards] == [False, False, False, True, True]
    full, half = cards[0], cards[1]
    assert full is not None
    assert half is not None
    assert full.tiers[0].output == 2 * half.tiers[0].output == 10 * 1_000_000
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    assert await prices.cards(keys) == cards
    clock.advance(KEEP_S + 1)
    asking = asyncio.create_task(prices.cards(keys[:1]))
    while not asking.done():
        clock.advance(0.5)
        await asyncio.sleep(0.001)
    assert await asking == [None]  # it could not be asked again: unknown, not yesterday's
    monkeypatch.undo()
    assert await prices.cards(keys[:1]) == [None]
    clock.advance(AGAIN_S + 1)
    assert await prices.cards(keys[:1]) == cards[:1]


async def test_a_list_that_could_not_be_asked_once_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lane keeps what it hears, and lines of a batch with a limit would pay for one failure."""
    clock, real = StepClock(), sys.executable
    prices = ListedPrices(sources(), clock)
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    asking = asyncio.create_task(prices.cards([LaneKey("openai", "gpt-5")]))
    await asyncio.sleep(0.05)
    assert not asking.done()
    monkeypatch.setattr(sys, "executable", real)
    clock.advance(0.5)
    assert (await asking)[0] is not None


def test_without_the_library_every_price_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    assert card_of(Question("openai", "gpt-5", "standard", None, NOW_S)) is None


async def test_those_who_wait_for_an_answer_are_asked_for_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch of many lanes asks for each by itself; a program that starts sixty times would take a quarter of a
    minute."""
    prices = ListedPrices(sources(), StepClock())
    asked: list[int] = []
    ask = prices._ask

    async def counted(questions: Sequence[Question]) -> list[RateCard | None] | None:
        asked.append(len(questions))
        return await ask(questions)

    monkeypatch.setattr(prices, "_ask", counted)
    models = ["gpt-5", "gpt-5-mini", "gpt-5-nano", "gpt-4o", "o3"]
    cards = await asyncio.gather(*(prices.cards([LaneKey("openai", model)]) for model in models))
    assert asked in ([1, 4], [5])
    assert all(card is not None for (card,) in cards)
    assert cards[0] != cards[1]


async def test_the_configuration_wins_and_may_say_that_a_model_is_free() -> None:
    prices = ListedPrices(sources(), StepClock())
    free, own, half, unknown = await prices.cards(
        [
            LaneKey("local", "qwen-7b"),
            LaneKey("local", "other"),
            LaneKey("local", "other", mode=LaneMode.BATCH),
            LaneKey("local", "qwen-7b", mode=LaneMode.BATCH),
        ]
    )
    assert unknown is None
    assert free is not None
    assert free.cost(Tokens(10_000, 0, 10_000, 0)) == 0
    assert own is not None
    assert own.cost(Tokens(1_000_000, 400_000, 1_000_000, 0)) == int(Decimal("2.7") * 1_000_000_000)
    assert half is not None
    assert half.cost(Tokens(0, 0, 1_000_000, 0)) == 1_000_000_000
    assert own.source == "configuration"
