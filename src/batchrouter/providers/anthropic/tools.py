"""Tools, functions and the choice among them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from batchrouter.providers.anthropic.draft import Dict, Draft, as_dict, as_list, as_string, refuse
from batchrouter.providers.anthropic.parts import with_cache
from batchrouter.providers.anthropic.schema import closed_object

_EXTRAS = ("input_examples", "defer_loading", "eager_input_streaming", "allowed_callers")
"""Members that only Anthropic has (anthropic 2.11.0, `types/tool_param.py`); they pass through."""


def put_tools(params: Dict, chat: Dict, draft: Draft) -> bool:
    """Set `tools` and `tool_choice`. Returns whether a call is forced, which not every kind of thinking allows."""
    tools: dict[str, Dict] = {}
    for number, tool in enumerate(as_list(chat.get("tools") or [], "tools")):
        where = f"tools[{number}]"
        _add(tools, _tool(as_dict(tool, where), where, draft), f"{where}.function.name")
    for number, function in enumerate(as_list(chat.get("functions") or [], "functions")):
        where = f"functions[{number}]"
        _add(tools, _function(as_dict(function, where), where, draft), f"{where}.name")
    wanted = chat.get("tool_choice")
    if wanted is None:
        wanted = _legacy_choice(chat.get("function_call"))
    if not tools:
        _without_tools(params, wanted, draft)
        return False
    choice, only = _choice(wanted, tools.keys(), draft)
    params["tools"] = [tool for name, tool in tools.items() if only is None or name in only]
    forced = choice is not None and choice["type"] in ("any", "tool")
    if choice is not None and forced and not draft.facts.forced_tool:
        _hint(choice, draft)
        choice, forced = None, False
    one = chat.get("parallel_tool_calls") is False or chat.get("functions")  # a function_call holds no second one
    if one and (choice is None or choice["type"] != "none"):
        choice = {**(choice or {"type": "auto"}), "disable_parallel_tool_use": True}
    if choice is not None:
        params["tool_choice"] = choice
    return forced


def _tool(tool: Dict, where: str, draft: Draft) -> Dict:
    if tool.get("type", "function") != "function":
        message = f"'{where}' is no function; this model's provider has no other tools of OpenAI's kinds."
        refuse(message, where, "unsupported_value")
    made = _function(as_dict(tool.get("function"), f"{where}.function"), f"{where}.function", draft)
    made.update((key, tool[key]) for key in _EXTRAS if tool.get(key) is not None)
    return with_cache(made, tool)


def _function(function: Dict, where: str, draft: Draft) -> Dict:
    made: Dict = {"name": draft.tools.fit(as_string(function.get("name"), f"{where}.name"))}
    if function.get("description") is not None:
        made["description"] = as_string(function["description"], f"{where}.description")
    place = f"{where}.parameters"
    schema = as_dict(function.get("parameters") or {}, place)
    strict = function.get("strict") is True
    if strict and not draft.facts.structured:
        draft.leave_out("tools[].function.strict", "this model cannot be held to a schema")
        strict = False
    made["input_schema"] = closed_object(schema, place) if strict else _open(schema, place)
    if strict:
        made["strict"] = True
    return with_cache(made, function)


def _open(schema: Dict, where: str) -> Dict:
    """A schema of parameters that the model is not held to, with what Anthropic wants of every one."""
    schema = {"type": "object", "properties": {}, **schema}
    if schema["type"] != "object" or not isinstance(schema["properties"], dict):
        refuse(f"'{where}' must be the JSON Schema of an object.", where)
    return schema


def _add(tools: dict[str, Dict], tool: Dict, where: str) -> None:
    if tools.setdefault(tool["name"], tool) is not tool:
        refuse(f"'{where}' is the name of another tool, too.", where)


def _choice(wanted: Any, names: Collection[str], draft: Draft) -> tuple[Dict | None, set[str] | None]:
    """Anthropic's choice, None where its default is meant, and the tools that alone may be offered. `names` are those
    of all tools, as they are sent."""
    match wanted:
        case None | "auto":
            return None, None
        case "none":
            return {"type": "none"}, None
        case "required":
            return {"type": "any"}, None
        case {"type": "function", "function": {"name": str(name)}}:
            return {"type": "tool", "name": _one_of(names, name, draft)}, None
        case {"type": "allowed_tools", "allowed_tools": {"mode": "auto" | "required" as mode, "tools": list(tools)}}:
            allowed = {_one_of(names, _name_of(tool), draft) for tool in tools}
            if not allowed:
                refuse("'tool_choice.allowed_tools.tools' must name at least one of the tools.", "tool_choice")
            return ({"type": "any"} if mode == "required" else None), allowed
    refuse("'tool_choice' must be none, auto, required, a function or allowed_tools.", "tool_choice")


def _one_of(names: Collection[str], wanted: str, draft: Draft) -> str:
    name = draft.tools.fit(wanted)
    if name not in names:
        refuse("'tool_choice' names a tool that is not among the tools.", "tool_choice")
    return name


def _name_of(tool: Any) -> str:
    match tool:
        case {"type": "function", "function": {"name": str(name)}}:
            return name
    refuse("'tool_choice.allowed_tools.tools' may name nothing but functions.", "tool_choice", "unsupported_value")


def _legacy_choice(wanted: Any) -> Any:
    """`function_call` in the words of `tool_choice`."""
    return {"type": "function", "function": wanted} if isinstance(wanted, dict) else wanted


def _hint(choice: Dict, draft: Draft) -> None:
    """In place of a choice that the model does not take: the words that ask for it."""
    draft.leave_out("tool_choice", "it cannot be forced to call a tool")
    what = f"the tool `{choice['name']}`" if choice["type"] == "tool" else "one of the tools"
    draft.system.append({"type": "text", "text": f"Answer by calling {what}, and not with text alone."})


def _without_tools(params: Dict, wanted: Any, draft: Draft) -> None:
    if wanted not in (None, "auto", "none"):
        refuse("'tool_choice' is only allowed where tools are given.", "tool_choice")
    if draft.tools.names:
        # Anthropic wants the tools that earlier turns have called; what they were is not told any more.
        anything = {"type": "object", "properties": {}}
        params["tools"] = [{"name": name, "input_schema": anything} for name in draft.tools.names]
        params["tool_choice"] = {"type": "none"}
