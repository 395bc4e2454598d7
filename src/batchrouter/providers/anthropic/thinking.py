"""How much the model thinks, and how long it may answer: `reasoning_effort` and the limits of tokens belong together,
because thinking counts towards `max_tokens`."""

from __future__ import annotations

from typing import Any

from batchrouter.providers.anthropic.draft import Dict, Draft, as_dict, as_integer, refuse
from batchrouter.providers.anthropic.models import EFFORTS

_LEVELS = {"minimal": "low", **{level: level for level in EFFORTS}}
_BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 24_576, "xhigh": 32_768, "max": 32_768}
_BUDGET_MIN = 1024
"""Least `budget_tokens` (anthropic 2.11.0, `types/thinking_config_enabled_param.py`)."""
_UNASKED = _BUDGETS["medium"]
"""What is added to the default limit for a model that always thinks and was not told how much."""


def put_thinking(params: Dict, chat: Dict, forced: bool, draft: Draft) -> bool:
    """Set `max_tokens`, `thinking` and the effort in `output_config`. Returns whether the model thinks as asked for,
    which rules out sampling parameters."""
    facts = draft.facts
    limit = _limit(chat)
    effort = chat.get("reasoning_effort")
    given = chat.get("thinking")
    if effort is not None and effort != "none" and (not isinstance(effort, str) or effort not in _BUDGETS):
        refuse("'reasoning_effort' must be none, minimal, low, medium, high, xhigh or max.", "reasoning_effort")
    if given is not None:
        config = as_dict(given, "thinking")
        params["thinking"] = config
        reserve = config.get("budget_tokens", _UNASKED if config.get("type") == "adaptive" else 0)
        params["max_tokens"] = _max_tokens(limit, as_integer(reserve, "thinking.budget_tokens"), draft)
        return config.get("type") in ("enabled", "adaptive")
    if effort is None or effort == "none":
        if effort == "none" and facts.always_thinks:
            draft.leave_out("reasoning_effort", "it always thinks")
        elif effort == "none":
            params["thinking"] = {"type": "disabled"}
        params["max_tokens"] = _max_tokens(limit, _UNASKED if facts.always_thinks else 0, draft)
        return False
    params["max_tokens"] = _max_tokens(limit, _BUDGETS[effort], draft)
    if facts.efforts:
        params["output_config"] = {"effort": _nearest(_LEVELS[effort], facts.efforts)}
    if facts.adaptive:
        if forced:  # thinking beside a forced call is a 400; the effort alone is taken
            return False
        params["thinking"] = {"type": "adaptive"}
        return True
    return _put_budget(params, _BUDGETS[effort], forced, draft)


def _put_budget(params: Dict, wanted: int, forced: bool, draft: Draft) -> bool:
    # A fifth is left for the answer where the line's own limit is smaller than thinking and answer together.
    budget = min(wanted, params["max_tokens"] * 4 // 5)
    why = None
    if not draft.facts.budget:
        why = "it does not think"
    elif forced:
        why = "it cannot think before a call that is forced"
    elif budget < _BUDGET_MIN:
        why = "max_tokens leaves no room for thinking"
    elif _is_inside_tools(draft.turns):
        why = "the calls of the last turn came without their thinking_blocks"
    elif draft.turns[-1]["role"] == "assistant":
        why = "it cannot think when it continues a message"
    if why is not None:
        if not draft.facts.efforts:  # else the effort says what can be said
            draft.leave_out("reasoning_effort", why)
        return False
    params["thinking"] = {"type": "enabled", "budget_tokens": budget}
    return True


def _is_inside_tools(turns: list[Dict]) -> bool:
    """Whether the last turn of the assistant calls tools without thinking before: then it must not think now."""
    last: list[Dict] = next((turn["content"] for turn in reversed(turns) if turn["role"] == "assistant"), [])
    calls = any(block["type"] == "tool_use" for block in last)
    return calls and last[0]["type"] not in ("thinking", "redacted_thinking")


def _limit(chat: Dict) -> int | None:
    """What the line itself sets."""
    for name in ("max_completion_tokens", "max_tokens"):
        if chat.get(name) is not None:
            limit = as_integer(chat[name], name)
            if limit < 1:
                refuse(f"'{name}' must be at least 1.", name, "integer_below_min_value")
            return limit
    return None


def _max_tokens(limit: int | None, reserve: int, draft: Draft) -> int:
    wanted = draft.policy.max_tokens + reserve if limit is None else limit
    return wanted if draft.facts.max_output is None else min(wanted, draft.facts.max_output)


def _nearest(level: str, levels: tuple[str, ...]) -> Any:
    """The highest level that is not above the wanted one; the lowest where all are."""
    below = [each for each in EFFORTS[: EFFORTS.index(level) + 1] if each in levels]
    return below[-1] if below else levels[0]
