"""What a file's lines would take, before any of them runs: from the index and a sample of bodies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from batchrouter.domain.cost import RateCard
from batchrouter.domain.tokens import estimated

WRAPPING_BYTES = 110
"""Of a line, what is around its body: custom_id, method and url of the usual length."""


class _Limits(msgspec.Struct):
    max_tokens: Any = None
    max_completion_tokens: Any = None
    max_output_tokens: Any = None
    n: Any = None
    best_of: Any = None
    prompt: Any = None


_LIMITS = msgspec.json.Decoder(_Limits)


def most_output(body: bytes, unbounded: int | None = None) -> int | None:
    """The most tokens that all answers to this body can have together. Where it sets no bound, each is taken to have
    `unbounded`; None: then nobody knows."""
    try:
        limits = _LIMITS.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return unbounded
    # Of two bounds some hosts heed the one and some the other.
    bounds = [_count(each) for each in (limits.max_completion_tokens, limits.max_tokens, limits.max_output_tokens)]
    bound = max((each for each in bounds if each is not None), default=unbounded)
    if bound is None:
        return None
    return max(0, bound) * max(1, _count(limits.n) or 1, _count(limits.best_of) or 1) * _prompts(limits.prompt)


def _prompts(prompt: Any) -> int:
    """Of a legacy completion: each text, or list of tokens, of a list is answered by itself."""
    return max(1, len(prompt)) if isinstance(prompt, list) and not all(isinstance(each, int) for each in prompt) else 1


def _count(value: Any) -> int | None:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


@dataclass(slots=True)
class LaneSize:
    """The lines of one provider and model; `url` is the first one's. `tokens` and `largest` are of inputs; `sizes`
    counts lines by tokens, in steps of less than a hundredth, so that memory does not grow with the file."""

    provider: str
    model: str
    url: str = ""
    lines: int = 0
    tokens: int = 0
    largest: int = 0
    sizes: Counter[int] = field(default_factory=Counter)
    sampled: int = 0
    unbounded: int = 0
    output: int = 0

    def add(self, lengths: Iterable[int]) -> None:
        """Lines of these lengths, in bytes."""
        for length in lengths:
            tokens = max(1, estimated(length - WRAPPING_BYTES))
            self.lines += 1
            self.tokens += tokens
            self.largest = max(self.largest, tokens)
            self.sizes[_step(tokens)] += 1

    def sample(self, body: bytes) -> None:
        """One of the lines' bodies, to learn how long answers may be."""
        self.sampled += 1
        most = most_output(body)
        if most is None:
            self.unbounded += 1
        else:
            self.output += most

    @property
    def output_most(self) -> int | None:
        """The most tokens that all answers together can have, as far as the sample tells; None: it has a line without a
        bound."""
        if not self.sampled or self.unbounded:
            return None
        return -(-self.output * self.lines // self.sampled)

    def percentile(self, share: float) -> int:
        """The input tokens that this share of the lines does not exceed, to about one part in a hundred."""
        return min(self.largest, percentile(self.sizes, share))

    def cost(self, card: RateCard) -> tuple[int, int | None]:
        """(what the inputs alone cost, the most that it can all cost), in billionths of a dollar. Each line is priced
        as one of its step, because prices may depend on a request's size."""
        inputs = sum(count * card.most(tokens, 0) for tokens, count in self.sizes.items())
        if self.output_most is None:
            return inputs, None
        each = -(-self.output_most // max(1, self.lines))
        return inputs, sum(count * card.most(tokens, each) for tokens, count in self.sizes.items())


def percentile(sizes: Counter[int], share: float) -> int:
    """As `LaneSize.percentile`, of any counts of lines by tokens; 0 of none."""
    wanted, seen = share * sizes.total(), 0
    for tokens in sorted(sizes):
        seen += sizes[tokens]
        if seen >= wanted:
            return tokens
    return 0


def _step(tokens: int) -> int:
    """Rounded up, by less than a hundredth."""
    step = 1
    while tokens > 200 * step:
        step *= 2
    return -(-tokens // step) * step
