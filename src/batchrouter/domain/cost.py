"""What a line costs: whole-number arithmetic, in billionths of a dollar, so that sums are right to the cent.

Prices are in trillionths of a dollar for one token (a dollar for a million tokens is 1,000,000 of them), because some
are below a billionth.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from batchrouter.domain.tokens import NO_TOKENS, Tokens

NANO = 1_000_000_000
UNKNOWN = -1
"""A cost that nobody knows: the model has no price. Never 0, which would be a promise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """Prices of one token where a request has more than `above` input tokens. `cached`: input read from the provider's
    prompt cache; `written`: input written to it."""

    above: int = 0
    input: int
    cached: int
    written: int
    output: int


@dataclass(frozen=True, slots=True)
class RateCard:
    """The prices of one lane, its mode's discount included. `tiers` ascend; the first is `above` 0. `source` says where
    they are from, for people: `genai-prices 0.2.3`, `configuration`."""

    tiers: tuple[Tier, ...]
    source: str = ""

    def cost(self, tokens: Tokens, written: int = 0) -> int:
        """Of one request, in billionths of a dollar, rounded half up. `written` tokens are part of `tokens.input`, as
        `tokens.cached` are."""
        tier = self.tiers[0]
        for each in self.tiers[1:]:
            if tokens.input > each.above:
                tier = each
        plain = max(0, tokens.input - tokens.cached - written)
        pico = plain * tier.input + tokens.cached * tier.cached + written * tier.written + tokens.output * tier.output
        return (pico + 500) // 1000

    def cost_of_answer(self, tokens: Tokens, written: int = 0) -> int:
        """As `cost`, for a request that was answered: `UNKNOWN` where the answer does not tell what it took, unless
        nothing costs anything."""
        cost = self.cost(tokens, written)
        return UNKNOWN if tokens == NO_TOKENS and self.most(1, 1) else cost

    def most(self, input_tokens: int, output_tokens: int) -> int:
        """The most that a request of this size can cost: at no discount for a cache, in its dearest tier."""
        return max(
            (input_tokens * max(tier.input, tier.written) + output_tokens * tier.output + 999) // 1000
            for tier in self.tiers
        )


def nano_of(dollars: str) -> int | None:
    """A sum of dollars as people write it (`5`, `0.25`, `$12.50`) in billionths; None if it is none, or negative, or
    more than a million."""
    match = re.fullmatch(r"\$?([0-9]{1,7})(?:\.([0-9]{1,9}))?", dollars.strip())
    if match is None:
        return None
    nano = int(match[1]) * NANO + int((match[2] or "").ljust(9, "0"))
    return nano if nano <= 1_000_000 * NANO else None
