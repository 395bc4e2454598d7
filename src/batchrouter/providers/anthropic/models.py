"""What each Claude model takes, as data. A model that no row knows is treated like the newest.

Sources: S1 = the flags of litellm 1.106.2's model table (`supports_sampling_params`, `thinking_always_on`,
`supports_forced_tool_use`, `supports_adaptive_thinking`, `supports_legacy_thinking`, `supports_output_config`,
`supports_xhigh_reasoning_effort`, `supports_max_reasoning_effort`, `supports_native_structured_output`,
`supports_assistant_prefill`, `max_output_tokens`, `max_input_tokens`); S2 = the names in anthropic 2.11.0's
`types/model_param.py`; S3 = the vendor's pages on errors and extended thinking. `GET /v1/models` knows better about
what it tells (`types/model_info.py`): `facts_from_listing`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

EFFORTS = ("low", "medium", "high", "xhigh", "max")
"""`output_config.effort`, from least to most (anthropic 2.11.0, `types/output_config_param.py`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Of one model. The defaults are the newest models' behaviour (sonnet-5-5, opus-5-5, fable-5-1, mythos-5-1: S1).

    `sampling`: takes temperature, top_p and top_k. `always_thinks`: thinking cannot be switched off. `forced_tool`:
    takes `tool_choice` any and tool. `adaptive`, `budget`: kinds of `thinking` that it takes. `efforts`: its levels,
    empty where it has none. `structured`: `output_config.format` and strict tools. `prefill`: continues a last message
    of the assistant. `max_output`, `max_input` in tokens, None where unknown.
    """

    sampling: bool = False
    always_thinks: bool = True
    forced_tool: bool = False
    adaptive: bool = True
    budget: bool = False
    efforts: tuple[str, ...] = EFFORTS
    structured: bool = True
    prefill: bool = False
    max_output: int | None = 128_000
    max_input: int | None = 1_000_000


NEWEST = Facts()
UNKNOWN = replace(NEWEST, max_output=None, max_input=None)

_CLASS_4_5 = Facts(
    sampling=True,
    always_thinks=False,
    forced_tool=True,
    adaptive=False,
    budget=True,
    efforts=(),
    prefill=True,
    max_output=64_000,
    max_input=200_000,
)  # S1
_OPUS_4_5 = replace(_CLASS_4_5, efforts=("low", "medium", "high"))  # S1: output_config, no xhigh, no max
_CLASS_4_6 = Facts(
    sampling=True, always_thinks=False, forced_tool=True, budget=True, efforts=("low", "medium", "high", "max")
)  # S1: legacy thinking beside adaptive, max without xhigh
_OPTIONAL_THINKING = Facts(always_thinks=False, forced_tool=True)  # S1
_ALWAYS_THINKING = Facts(forced_tool=True)  # S1: thinking_always_on, no word against forced tools

ROWS: Mapping[str, Facts] = {
    "haiku-4-5": _CLASS_4_5,
    "sonnet-4-5": _CLASS_4_5,
    "opus-4-5": _OPUS_4_5,
    "opus-4-6": _CLASS_4_6,
    "sonnet-4-6": _CLASS_4_6,
    "opus-4-7": _OPTIONAL_THINKING,
    "opus-4-8": _OPTIONAL_THINKING,
    "opus-5": _OPTIONAL_THINKING,
    "sonnet-5": _OPTIONAL_THINKING,
    "haiku-5-5": _OPTIONAL_THINKING,
    "fable-5": _ALWAYS_THINKING,
    "mythos-5": _ALWAYS_THINKING,
    "mythos-preview": _ALWAYS_THINKING,
    "sonnet-5-5": NEWEST,
    "opus-5-5": NEWEST,
    "fable-5-1": NEWEST,
    "mythos-5-1": NEWEST,
    "fable-5-2": NEWEST,  # S2; no source tells more
    "mythos-5-2": NEWEST,  # S2; no source tells more
}
"""By line and version, as in `claude-{line}-{version}`."""

_LINES = "haiku|sonnet|opus|fable|mythos"
# A version is one or two numbers of at most two digits; what follows with eight is a date.
_name = re.compile(
    rf"claude-(?:({_LINES})-(preview|\d{{1,2}}(?!\d))(?:[-.](\d{{1,2}})(?!\d))?|(\d{{1,2}})(?:[-.](\d{{1,2}}))?-({_LINES}))"
).search


def row_of(model: str) -> str | None:
    """The key of a model's row, whatever date or platform its name tells: `claude-opus-4-5-20251101` → `opus-4-5`."""
    found = _name(model.lower())
    if found is None:
        return None
    line, major, minor = found[1] or found[6], found[2] or found[4], found[3] or found[5]
    return f"{line}-{major}" if minor is None else f"{line}-{major}-{minor}"


def facts_of(model: str) -> Facts:
    return ROWS.get(row_of(model) or "", UNKNOWN)


def facts_from_listing(listing: Any) -> dict[str, Facts]:
    """Facts by model id, from the JSON of `GET /v1/models` (a page of it) or of one model.

    What the listing does not tell (sampling, forced tools, prefill) stays as in the rows. What is not understood is
    left out, never an error: the rows stand without it.
    """
    entries = listing.get("data", [listing]) if isinstance(listing, dict) else []
    found = {}
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict) and isinstance(entry.get("id"), str):
            found[entry["id"]] = _refreshed(facts_of(entry["id"]), entry)
    return found


def _refreshed(facts: Facts, entry: dict[str, Any]) -> Facts:
    can = entry.get("capabilities")
    thinking = _at(can, "thinking")
    types = _at(thinking, "types")
    off = _supported(types, "disabled")
    levels = _at(can, "effort")
    efforts = facts.efforts
    if _supported(can, "effort") is False:
        efforts = ()
    elif isinstance(levels, dict):
        efforts = tuple(level for level in EFFORTS if _supported(levels, level)) or efforts
    return replace(
        facts,
        always_thinks=facts.always_thinks if off is None else not off and _supported(can, "thinking") is not False,
        adaptive=_or(_supported(types, "adaptive"), facts.adaptive),
        budget=_or(_supported(types, "enabled"), facts.budget),
        efforts=efforts,
        structured=_or(_supported(can, "structured_outputs"), facts.structured),
        max_output=_tokens(entry.get("max_tokens")) or facts.max_output,
        max_input=_tokens(entry.get("max_input_tokens")) or facts.max_input,
    )


def _at(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None


def _supported(value: Any, key: str) -> bool | None:
    told = _at(_at(value, key), "supported")
    return told if isinstance(told, bool) else None


def _or(told: bool | None, otherwise: bool) -> bool:
    return otherwise if told is None else told


def _tokens(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
