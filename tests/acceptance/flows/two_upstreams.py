"""OpenAI and Anthropic played by two simulators, and what their logs prove about lines that ran there.

Every line's question holds its number in the file (`question 17`), so that a request tells whose it is, whatever wire
it came by.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from genai_prices import Usage, calc_price

from batchrouter.simulator import Entry
from batchrouter.simulator.process import SimulatorProcess

MESSAGES = "/v1/messages"
CHAT = "/v1/chat/completions"
NANO = Decimal("1e-9")
_NUMBER = re.compile(r"question (\d+)")


def openai_at(simulator: SimulatorProcess, **changes: Any) -> dict[str, Any]:
    """A provider that speaks OpenAI's dialect, has its batch API and its prices."""
    return {
        "type": "openai",
        "base_url": simulator.base_url,
        "api_key": "sk-openai",
        "price_as": "openai",
        "batch": {"enabled": True, **QUICK},
    } | changes


def anthropic_at(simulator: SimulatorProcess, **changes: Any) -> dict[str, Any]:
    return {
        "type": "anthropic",
        "base_url": simulator.base_url,
        "api_key": "sk-ant",
        "batch": {"enabled": True, **QUICK},
    } | changes


QUICK = {"min_requests": 20, "poll_min": 0.1, "poll_max": 0.2}


def line(number: int, model: str, *, custom_id: str | None = None, **more: Any) -> dict[str, Any]:
    """One chat; members of the body's own go by `body`, all others stand beside it."""
    body = {"model": model, "max_tokens": 200, "messages": [{"role": "user", "content": f"question {number}"}]}
    body |= more.pop("body", {})
    return {"custom_id": custom_id or f"q {number}", "method": "POST", "url": CHAT, **more, "body": body}


def file_of(lines: Iterable[Mapping[str, Any]]) -> bytes:
    return b"".join(json.dumps(each, ensure_ascii=False).encode() + b"\n" for each in lines)


def calls(*simulators: SimulatorProcess) -> list[Entry]:
    """Calls of models, native and in real time, in the order of each simulator's log."""
    return [entry for each in simulators for entry in each.log() if entry.path in (CHAT, MESSAGES)]


def number_of(entry: Entry) -> int:
    """The line that the request asks for; the simulator must keep bodies."""
    assert entry.text is not None
    (number,) = set(_NUMBER.findall(entry.text))
    return int(number)


def paid(entries: Sequence[Entry]) -> Counter[int]:
    """How often each line was run to an answer, for which a provider takes money."""
    return Counter(number_of(entry) for entry in entries if entry.status == 200 and entry.end in ("sent", "native"))


def price(provider: str, model: str, mode: str, usage: Mapping[str, Any]) -> Decimal:
    """Dollars for one answer, to the billionth, by what its usage says."""
    details = usage.get("prompt_tokens_details") or {}
    found = calc_price(
        Usage(
            input_tokens=usage["prompt_tokens"],
            cache_read_tokens=details.get("cached_tokens") or 0,
            cache_write_tokens=details.get("cache_write_tokens") or 0,
            output_tokens=usage["completion_tokens"],
        ),
        model,
        provider_id=provider,
        price_context={"processing": "batch"} if mode == "batch" else None,
    )
    return found.total_price.quantize(NANO, ROUND_HALF_UP)
