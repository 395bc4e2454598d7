"""A chat.completions request → the parameters of a Message. Dict to dict, and nothing else.

The table of parameters is in `docs/translation.md`. What is asked for with a parameter's default is not asked for at
all: `n: 1` fails no line, `store: false` is not told as left out.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any, NamedTuple

from batchrouter.providers.anthropic.draft import Dict, Draft, Policy, as_dict, as_list, as_number, as_string, refuse
from batchrouter.providers.anthropic.models import Facts
from batchrouter.providers.anthropic.schema import closed
from batchrouter.providers.anthropic.thinking import put_thinking
from batchrouter.providers.anthropic.tools import put_tools
from batchrouter.providers.anthropic.turns import put_messages
from batchrouter.providers.codec import dumps


class Translated(NamedTuple):
    """`tools` maps the names that had to change back to those that people wrote. `legacy`: answer with a
    `function_call`; `json_object`: the text was promised to be JSON."""

    params: Dict
    dropped: tuple[str, ...]
    tools: dict[str, str] | None
    legacy: bool
    json_object: bool


# Translated by name, here or in the modules for tools and thinking.
_TRANSLATED = frozenset(
    (
        "model", "messages", "tools", "tool_choice", "functions", "function_call", "parallel_tool_calls",
        "response_format", "max_tokens", "max_completion_tokens", "stop", "temperature", "top_p", "top_k",
        "reasoning_effort", "thinking", "user", "safety_identifier", "metadata", "service_tier", "output_config",
        "stream", "stream_options",
    )
)  # fmt: skip
# Anthropic's own (anthropic 2.11.0, `types/message_create_params.py`), as `extra_body` puts them beside OpenAI's.
_PASSED = frozenset(("cache_control", "container", "diagnostics", "inference_geo", "speed", "user_profile_id"))
_NOT_IN_BATCH = frozenset(("speed",))
# Fail their line, for what comes back would be another kind of answer; all others are left out.
_FAILS = frozenset(("n", "logprobs", "top_logprobs", "logit_bias", "audio", "modalities"))
_ASKS_NOTHING: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "modalities": (["text"], []),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "store": (False,),
    "verbosity": ("medium",),
}
_TIERS = {"auto": "auto", "default": "standard_only", "standard_only": "standard_only"}
_JSON_ONLY = "Answer with one JSON object and nothing else: no text around it and no code fence."


def translate(chat: Dict, model: str, facts: Facts, policy: Policy, *, batch: bool = False) -> Translated:
    """The parameters for `model`. Raises LineRefused for what cannot be translated. `batch`: for Message Batches."""
    draft = Draft(facts, policy)
    put_messages(chat.get("messages"), draft)
    params: Dict = {"model": model}
    forced = put_tools(params, chat, draft)
    thinks = put_thinking(params, chat, forced, draft)
    json_object = _put_format(params, chat.get("response_format"), draft)
    _put_sampling(params, chat, thinks, draft)
    _put_stop(params, chat.get("stop"), draft)
    _put_user(params, chat, draft)
    _put_rest(params, chat, batch, draft)
    if isinstance(chat.get("output_config"), dict):
        params["output_config"] = {**chat["output_config"], **params.get("output_config", {})}
    if draft.system:
        params["system"] = draft.system
    params["messages"] = draft.turns
    legacy = bool(chat.get("functions")) and not chat.get("tools")
    return Translated(params, tuple(draft.dropped), draft.tools.back(), legacy, json_object)


def _put_format(params: Dict, wanted: Any, draft: Draft) -> bool:
    """Returns whether JSON was promised that no schema holds the model to."""
    if wanted is None:
        return False
    kind = as_dict(wanted, "response_format").get("type")
    if kind == "text":
        return False
    if kind == "json_object":
        draft.system.append({"type": "text", "text": _JSON_ONLY})
        return True
    if kind != "json_schema":
        refuse("'response_format.type' must be text, json_object or json_schema.", "response_format.type")
    where = "response_format.json_schema"
    told = as_dict(wanted.get("json_schema"), where)
    schema = as_dict(told.get("schema"), f"{where}.schema")
    if told.get("description") is not None:
        schema = {"description": as_string(told["description"], f"{where}.description"), **schema}
    if not draft.facts.structured:
        draft.leave_out("response_format", "this model cannot be held to a schema")
        draft.system.append({"type": "text", "text": f"{_JSON_ONLY} Its JSON Schema: {dumps(schema).decode()}"})
        return True
    config = params.setdefault("output_config", {})
    config["format"] = {"type": "json_schema", "schema": closed(schema, f"{where}.schema")}
    return False


def _put_sampling(params: Dict, chat: Dict, thinks: bool, draft: Draft) -> None:
    """At most one of temperature and top_p (the 4.5 class refuses both), and none beside thinking or where the model
    has none. A temperature or top_p of 1 is the default everywhere."""
    wanted = {}
    for name in ("temperature", "top_p", "top_k"):
        if chat.get(name) is not None:
            value = _in_range(name, as_number(chat[name], name))
            if value != 1 or name == "top_k":
                wanted[name] = value
    for name, value in wanted.items():
        if not draft.facts.sampling:
            draft.leave_out(name, "it has no sampling parameters")
        elif thinks:
            draft.leave_out(name, "it cannot be set while the model thinks")
        elif name == "temperature" and value > 1:
            draft.leave_out(name, "it ends at 1")  # where 1 is the default
        elif name == "top_p" and "temperature" in params:
            draft.leave_out(name, "it cannot be set beside temperature")
        else:
            params[name] = value


def _in_range(name: str, value: float) -> float:
    if value < 0 or (name == "top_p" and value > 1) or (name == "top_k" and not isinstance(value, int)):
        refuse(f"'{name}' is out of its range.", name)
    return value


def _put_stop(params: Dict, stop: Any, draft: Draft) -> None:
    if stop is None:
        return
    texts = [as_string(text, "stop") for text in ([stop] if isinstance(stop, str) else as_list(stop, "stop"))]
    kept = [text for text in texts if text.strip()]
    if len(kept) < len(texts):
        draft.leave_out("stop", "a stop sequence must not be only whitespace")
    if kept:
        params["stop_sequences"] = kept


_email = re.compile(r"[^@\s]+@[^@\s]+").fullmatch
_phone = re.compile(r"\+?[\d\s().-]{7,}").fullmatch
_USER_ID_MAX = 256


def _put_user(params: Dict, chat: Dict, draft: Draft) -> None:
    """Anthropic wants no e-mail address and no phone number there: what looks like one is hashed."""
    metadata = as_dict(chat["metadata"], "metadata") if chat.get("metadata") is not None else {}
    name, user = next(
        (
            (name, value)
            for name, value in (
                ("safety_identifier", chat.get("safety_identifier")),
                ("user", chat.get("user")),
                ("metadata.user_id", metadata.get("user_id")),
            )
            if value is not None
        ),
        ("user", None),
    )
    if user is not None:
        user = as_string(user, name)
        if _email(user) or _phone(user) or len(user) > _USER_ID_MAX:
            user = hashlib.sha256(user.encode("utf-8", "surrogatepass")).hexdigest()
        params["metadata"] = {"user_id": user}
    if metadata.keys() - {"user_id"}:
        draft.leave_out("metadata")


def _put_rest(params: Dict, chat: Dict, batch: bool, draft: Draft) -> None:
    tier = chat.get("service_tier")
    if tier is not None:
        if isinstance(tier, str) and tier in _TIERS:
            params["service_tier"] = _TIERS[tier]
        else:
            draft.leave_out("service_tier", "it knows auto and default")
    for name, value in chat.items():
        if value is None or name in _TRANSLATED:
            continue
        if batch and name in _NOT_IN_BATCH:
            draft.leave_out(name, "it cannot be set in a batch")
        elif name in _PASSED:
            params[name] = value
        elif value not in _ASKS_NOTHING.get(name, ()):
            draft.leave_out(name, fails=name in _FAILS)
