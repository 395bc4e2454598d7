"""Compare our translation with litellm's and any-llm's, over the golden files: `make oracle`.

The golden files hold what we make, so that nothing of ours is needed here but them; the two libraries live in a venv
of their own. What differs is listed with its reason from `oracle_reasons.toml`; a difference without one is an error:
look at it, then mend our side or write down why theirs is not to be followed.
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import os
import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it asks the network for prices when it is imported
logging.disable(logging.WARNING)

FOLDER = Path(__file__).parents[1] / "tests" / "golden" / "translation"
Golden = dict[str, Any]
Key = tuple[str, str, str]
"""Library, golden file, and what differs."""


class Difference(NamedTuple):
    """`side` is `request` or `answer`; `member` what differs there, `error` where the library raised."""

    library: str
    case: str
    side: str
    member: str
    ours: Any
    theirs: Any


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", help="only these golden files")
    parser.add_argument("--quiet", action="store_true", help="list the differences without a reason alone")
    args = parser.parse_args()
    libraries: dict[str, tuple[Callable[[Golden], Any], Callable[[Golden], Any]]] = {
        "litellm": (_litellm_request, _litellm_answer),
        "any-llm": (_any_llm_request, _any_llm_answer),
    }
    reasons = _reasons()
    seen: Counter[str] = Counter()
    used: set[Key] = set()
    for path in sorted(FOLDER.glob("*.json")):
        if args.cases and path.stem not in args.cases:
            continue
        golden = json.loads(path.read_text())
        for library, (request, answer) in libraries.items():
            for difference in _differences(library, path.stem, golden, request, answer):
                key = (library, path.stem, f"{difference.side}.{difference.member}")
                reason = reasons.get(key)
                seen["explained" if reason else "unexplained"] += 1
                used.add(key)
                if reason is None or not args.quiet:
                    _print(difference, reason)
    print(f"{seen['explained']} differences with a reason, {seen['unexplained']} without")
    if not args.cases:
        for key in sorted(set(reasons) - used):
            print(f"no difference has the reason of {key} any more")
    return 1 if seen["unexplained"] else 0


def _reasons() -> dict[Key, str]:
    rows = tomllib.loads(Path(__file__).with_name("oracle_reasons.toml").read_text())["reason"]
    return {
        (row["library"], case, member): row["why"]
        for row in rows
        for member, cases in row.items()
        if isinstance(cases, list)
        for case in cases
    }


def _differences(
    library: str, case: str, golden: Golden, request: Callable[[Golden], Any], answer: Callable[[Golden], Any]
) -> Iterator[Difference]:
    if golden["endpoint"] != "/v1/chat/completions":
        return
    if "request" in golden:
        ours: Any = _plain(golden["sent"]) if "sent" in golden else "refused"
        theirs = _made(request, golden)
        yield from _members(library, case, "request", ours, theirs)
    reply = golden.get("reply", {})
    if "choices" in golden.get("answer", {}).get("body", {}) and "body" in reply:
        ours = _told(golden["answer"]["body"])
        yield from _members(library, case, "answer", ours, _made(answer, golden))


def _made(make: Callable[[Golden], Any], golden: Golden) -> Any:
    try:
        return make(copy.deepcopy(golden))
    except Exception as error:  # whatever a library raises is its answer
        return f"{type(error).__name__}: {str(error)[:160]}"


def _members(library: str, case: str, side: str, ours: Any, theirs: Any) -> Iterator[Difference]:
    if isinstance(ours, str) or isinstance(theirs, str):
        if not (isinstance(ours, str) and isinstance(theirs, str)):
            yield Difference(library, case, side, "error", ours, theirs)
        return
    for member in sorted(ours.keys() | theirs.keys()):
        if ours.get(member) != theirs.get(member):
            yield Difference(library, case, side, member, ours.get(member), theirs.get(member))


def _print(difference: Difference, reason: str | None) -> None:
    print(f"{difference.case} · {difference.library} · {difference.side}.{difference.member}")
    print(f"  ours    {_short(difference.ours)}\n  theirs  {_short(difference.theirs)}")
    print(f"  reason  {reason or '???'}\n")


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) < 400 else text[:400] + " …"


def _plain(body: Any) -> dict[str, Any]:
    """Spellings of the same thing made alike: a string for a list of one text, absent for null."""
    plain = {name: value for name, value in body.items() if value is not None and name not in ("stream", "extra_body")}
    if isinstance(plain.get("system"), str):
        plain["system"] = [{"type": "text", "text": plain["system"]}]
    plain["messages"] = [{**turn, "content": _blocks(turn["content"])} for turn in plain.get("messages", [])]
    for tool in plain.get("tools", []):
        if tool.get("type") == "custom":
            del tool["type"]
        if tool.get("description") == "":
            del tool["description"]
        if tool.get("input_schema", {}).get("required") == []:
            del tool["input_schema"]["required"]
    choice = plain.get("tool_choice")
    if isinstance(choice, dict) and choice.get("disable_parallel_tool_use") is False:
        del choice["disable_parallel_tool_use"]
    if choice == {"type": "auto"}:
        del plain["tool_choice"]
    return plain


def _blocks(content: Any) -> Any:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    for block in content:
        result = block.get("content")
        if result == "":
            del block["content"]
        if isinstance(result, list) and [each.get("type") for each in result] == ["text"]:
            block["content"] = result[0]["text"]
    return content


def _told(body: Any) -> dict[str, Any]:
    """What people read of a chat.completion."""
    choice = body["choices"][0]
    said, usage = choice["message"], body.get("usage") or {}
    before, after = usage.get("prompt_tokens_details") or {}, usage.get("completion_tokens_details") or {}
    calls = [
        (call["id"], call["function"]["name"], json.loads(call["function"]["arguments"]))
        for call in said.get("tool_calls") or []
    ]
    reasoning = said.get("reasoning_content") or said.get("reasoning")
    reasoning = reasoning.get("content") if isinstance(reasoning, dict) else reasoning
    return {
        "content": said.get("content") or None,
        "refusal": said.get("refusal"),
        "reasoning": reasoning,
        "thinking_blocks": [block for block in said.get("thinking_blocks") or [] if block],
        "tool_calls": [list(call) for call in calls],
        "finish_reason": choice["finish_reason"],
        "prompt_tokens": usage.get("prompt_tokens"),
        "completion_tokens": usage.get("completion_tokens"),
        "cached_tokens": before.get("cached_tokens") or 0,
        "cache_write_tokens": before.get("cache_write_tokens") or before.get("cache_creation_tokens") or 0,
        "reasoning_tokens": after.get("reasoning_tokens") or 0,
        "model": body["model"],
    }


def _litellm_request(golden: Golden) -> Any:
    from litellm.llms.anthropic.chat.transformation import AnthropicConfig  # type: ignore[import-not-found]

    request = golden["request"]
    messages = request.pop("messages")
    request.pop("model", None)
    config = AnthropicConfig()
    optional = config.map_openai_params(
        non_default_params=request, optional_params={}, model=golden["model"], drop_params=True
    )
    return _plain(config.transform_request(golden["model"], messages, optional, {}, {}))


def _litellm_answer(golden: Golden) -> Any:
    import httpx  # type: ignore[import-not-found]
    from litellm import ModelResponse  # type: ignore[import-not-found]
    from litellm.llms.anthropic.chat.transformation import AnthropicConfig

    reply = golden["reply"]
    made = AnthropicConfig().transform_parsed_response(
        completion_response=reply["body"],
        raw_response=httpx.Response(reply["status"], json=reply["body"]),
        model_response=ModelResponse(),
    )
    return _told(json.loads(made.model_dump_json()))


def _any_llm_request(golden: Golden) -> Any:
    from any_llm.providers.anthropic.utils import _convert_params  # type: ignore[import-not-found]
    from any_llm.types.completion import CompletionParams  # type: ignore[import-not-found]

    request = golden["request"]
    request.pop("model", None)
    known = {name: request.pop(name) for name in list(request) if name in CompletionParams.model_fields}
    params = CompletionParams(model_id=golden["model"], **known)
    return _plain(_convert_params(params, provider_name="anthropic", **request))


def _any_llm_answer(golden: Golden) -> Any:
    from anthropic.types import Message
    from any_llm.providers.anthropic.utils import _convert_response

    made = _convert_response(Message.model_validate(golden["reply"]["body"]))
    return _told(json.loads(made.model_dump_json()))


if __name__ == "__main__":
    sys.exit(main())
