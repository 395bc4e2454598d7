"""What a Messages request must hold beyond the types of its members. Every fault is an ApiError 400 that says where.

The rules by model are rows in `facts`. Turns of one role in a row are one turn, as the API takes them (the client's own
words on `messages`), so that only what follows from the joined turns is judged.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from batchrouter.simulator.anthropic.errors import bad
from batchrouter.simulator.anthropic.facts import Facts
from batchrouter.simulator.anthropic.schema import check_closed
from batchrouter.simulator.anthropic.wire import (
    Block,
    CacheControl,
    ChooseAny,
    ChooseTool,
    Document,
    Image,
    ImageBytes,
    MessagesRequest,
    PdfBytes,
    RedactedThinking,
    Text,
    ThinkAdaptive,
    ThinkBetweenTools,
    ThinkDisabled,
    ThinkEnabled,
    Thinking,
    Tool,
    ToolResult,
    ToolUse,
    Turn,
)

MAX_CACHE_MARKS = 4
MAX_MESSAGES = 100_000
SIGNED = b"simulated thinking "
"""What the signature of every thinking block of this simulator begins with, before base64."""

_PERSONAL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+|\+?\d[\d\s().-]{6,}\d")


def check(request: MessagesRequest, tools: list[Tool | dict[str, Any]], facts: Facts) -> None:
    """Raises ApiError 400 for the first thing that the real API is known to refuse."""
    if request.max_tokens > facts.max_tokens:
        raise bad(
            f"max_tokens: {request.max_tokens} > {facts.max_tokens}, which is the maximum allowed number of output "
            f"tokens for {request.model}"
        )
    _check_turns(request.messages, facts)
    for index, block in enumerate(request.system if isinstance(request.system, list) else []):
        _check_block(block, f"system.{index}")
    if sum(1 for _ in marks(request, tools)) > MAX_CACHE_MARKS:
        raise bad(f"A maximum of {MAX_CACHE_MARKS} blocks with cache_control may be provided.")
    if any(not stop.strip() for stop in request.stop_sequences):
        raise bad("stop_sequences: each stop sequence must contain non-whitespace")
    if request.metadata and request.metadata.user_id and _PERSONAL.fullmatch(request.metadata.user_id):
        raise bad("metadata.user_id: user_id appears to contain an email address or a phone number")
    _check_tools(request, tools, facts)
    _check_thinking(request, facts)
    _check_sampling(request, facts)
    _check_output(request, facts)


def marks(request: MessagesRequest, tools: list[Tool | dict[str, Any]]) -> Iterator[CacheControl]:
    """Every breakpoint of the prompt cache in the request."""
    if request.cache_control is not None:
        yield request.cache_control
    for tool in tools:
        mark = tool.cache_control if isinstance(tool, Tool) else tool.get("cache_control")
        if mark is not None:
            yield mark if isinstance(mark, CacheControl) else CacheControl()
    contents = [request.system, *(turn.content for turn in request.messages)]
    for content in contents:
        for block in content if isinstance(content, list) else []:
            mark = getattr(block, "cache_control", None)
            if mark is not None:
                yield mark


def thinks(request: MessagesRequest, facts: Facts) -> bool:
    """Whether the model thinks before it answers."""
    return facts.always_thinks or isinstance(request.thinking, ThinkEnabled | ThinkAdaptive)


# --- turns ----------------------------------------------------------------------------------------------------------


def _check_turns(turns: list[Turn], facts: Facts) -> None:
    if not turns:
        raise bad("messages: at least one message is required")
    if len(turns) > MAX_MESSAGES:
        raise bad(f"messages: too many messages: {len(turns)} > {MAX_MESSAGES}")
    roles = ("user", "assistant", "system") if facts.system_turns else ("user", "assistant")
    for index, turn in enumerate(turns):
        if turn.role == "system" and "system" not in roles:
            raise bad(
                'messages: Unexpected role "system". The Messages API accepts a top-level `system` parameter, not '
                '"system" as an input message role.'
            )
        if turn.role not in roles:
            raise bad(f"messages.{index}.role: Input should be 'user' or 'assistant'")
        if not turn.content and not (turn.role == "assistant" and index == len(turns) - 1):
            raise bad(
                f"messages.{index}: all messages must have non-empty content except for the optional final assistant "
                "message"
            )
        for place, block in enumerate(turn.content if isinstance(turn.content, list) else []):
            _check_block(block, f"messages.{index}.content.{place}")
            _check_role_of(block, turn.role, f"messages.{index}.content.{place}")
    if turns[0].role != "user":
        raise bad('messages: first message must use the "user" role')
    last = turns[-1]
    if last.role == "assistant":
        if not facts.prefill:
            raise bad(
                "This model does not support assistant message prefill. The conversation must end with a user message."
            )
        text = last.content if isinstance(last.content, str) else _last_text(last.content)
        if text != text.rstrip():
            raise bad("messages: final assistant content cannot end with trailing whitespace")
    _check_tool_pairs(turns)


def _check_block(block: Block, place: str) -> None:
    match block:
        case Text(text=text):
            if not text:
                raise bad(f"{place}: text content blocks must be non-empty")
            if not text.strip():
                raise bad(f"{place}: text content blocks must contain non-whitespace text")
        case Image(source=ImageBytes(data=data)) | Document(source=PdfBytes(data=data)):
            try:
                base64.b64decode(data, validate=True)
            except ValueError:
                raise bad(f"{place}.source.base64.data: invalid base64 data") from None
        case Thinking(signature=signature):
            if not _is_signed(signature):
                raise bad(f"{place}: Invalid `signature` in `thinking` block")
        case ToolResult(content=list(content)):
            for index, inner in enumerate(content):
                _check_block(inner, f"{place}.content.{index}")
        case _:
            pass


def _check_role_of(block: Block, role: str, place: str) -> None:
    if isinstance(block, ToolUse | Thinking | RedactedThinking) and role != "assistant":
        kind = type(block).__struct_config__.tag
        raise bad(f"{place}: `{kind}` blocks can only be in `assistant` messages")
    if isinstance(block, ToolResult) and role != "user":
        raise bad(f"{place}: `tool_result` blocks can only be in `user` messages")
    if role == "system" and not isinstance(block, Text):
        raise bad(f"{place}: `system` messages hold text only")


def _check_tool_pairs(turns: list[Turn]) -> None:
    """Each call of a tool is answered at the head of the next turn, and only calls are answered."""
    joined = joined_turns(turns)
    seen: set[str] = set()
    called: list[str] = []
    for index, _, blocks in joined:
        results = [block.tool_use_id for block in blocks if isinstance(block, ToolResult)]
        stray = [one for one in results if one not in called]
        if stray:
            raise bad(
                f"messages.{index}.content.0: unexpected `tool_use_id` found in `tool_result` blocks: {stray[0]}. Each "
                "`tool_result` block must have a corresponding `tool_use` block in the previous message."
            )
        if len(set(results)) < len(results):
            raise bad(f"messages.{index}: each tool_use must have a single result. Found multiple `tool_result` blocks")
        first = [block.tool_use_id for block in blocks[: len(results)] if isinstance(block, ToolResult)]
        open_ = [one for one in called if one not in first]
        if open_:
            raise bad(
                f"messages.{index - 1}: `tool_use` ids were found without `tool_result` blocks immediately after: "
                f"{', '.join(open_)}. Each `tool_use` block must have a corresponding `tool_result` block in the next "
                "message."
            )
        called = [block.id for block in blocks if isinstance(block, ToolUse)]
        if seen & set(called) or len(set(called)) < len(called):
            raise bad(f"messages.{index}: `tool_use` ids must be unique")
        seen.update(called)
    if called:
        raise bad(
            f"messages.{joined[-1].place}: `tool_use` ids were found without `tool_result` blocks immediately after: "
            f"{', '.join(called)}. Each `tool_use` block must have a corresponding `tool_result` block in the next "
            "message."
        )


class Joined(NamedTuple):
    """Turns of one role in a row as one; `place` is that of the first."""

    place: int
    role: str
    blocks: list[Block]


def joined_turns(turns: list[Turn]) -> list[Joined]:
    """The conversation as the model sees it; text of a string as a block."""
    joined: list[Joined] = []
    for index, turn in enumerate(turns):
        if not joined or turn.role != joined[-1].role:
            joined.append(Joined(index, turn.role, []))
        joined[-1].blocks.extend([Text(turn.content)] if isinstance(turn.content, str) else turn.content)
    return joined


def _last_text(blocks: list[Block]) -> str:
    return blocks[-1].text if blocks and isinstance(blocks[-1], Text) else ""


def _is_signed(signature: str) -> bool:
    try:
        return base64.b64decode(signature, validate=True).startswith(SIGNED)
    except ValueError:
        return False


# --- parameters -----------------------------------------------------------------------------------------------------


def _check_tools(request: MessagesRequest, tools: list[Tool | dict[str, Any]], facts: Facts) -> None:
    names = [tool.name if isinstance(tool, Tool) else tool["name"] for tool in tools]
    if len(set(names)) < len(names):
        raise bad("tools: Tool names must be unique.")
    for index, tool in enumerate(tools):
        if isinstance(tool, Tool) and tool.input_schema.get("type") != "object":
            raise bad(f"tools.{index}.custom.input_schema.type: Input should be 'object'")
        if isinstance(tool, Tool) and tool.strict:
            check_closed(tool.input_schema, f"tools.{index}.custom.input_schema")
    choice = request.tool_choice
    if choice is None:
        return
    if not tools:
        raise bad("tool_choice: may only be specified while providing tools")
    if isinstance(choice, ChooseTool) and choice.name not in names:
        raise bad(f"Tool '{choice.name}' not found in provided tools")
    if isinstance(choice, ChooseAny | ChooseTool):
        if not facts.forced_tool:
            raise bad("tool_choice: this model always thinks, so that a tool cannot be forced; use `auto` or `none`.")
        if isinstance(request.thinking, ThinkEnabled):
            raise bad("Thinking may not be enabled when tool_choice forces tool use.")


def _check_thinking(request: MessagesRequest, facts: Facts) -> None:
    thinking = request.thinking
    match thinking:
        case ThinkEnabled() if not facts.budget:
            raise bad(
                '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" and '
                '"output_config.effort" to control thinking behavior.'
            )
        case ThinkEnabled(budget_tokens=budget) if budget >= request.max_tokens:
            raise bad("`max_tokens` must be greater than `thinking.budget_tokens`.")
        case ThinkAdaptive() if not facts.adaptive:
            raise bad("adaptive thinking is not supported on this model")
        case ThinkDisabled() | ThinkBetweenTools() if facts.always_thinks:
            raise bad(f'"thinking.type.{thinking.__struct_config__.tag}" is not supported for this model.')
        case ThinkBetweenTools() if not facts.adaptive:
            raise bad('"thinking.type.between_tools" is not supported for this model.')
        case _:
            pass
    if isinstance(thinking, ThinkEnabled):
        _check_thought_first(request.messages)


def _check_thought_first(turns: list[Turn]) -> None:
    """With a budget, a turn whose tools are just being answered begins with its thinking."""
    joined = joined_turns(turns)
    if len(joined) < 2 or not any(isinstance(block, ToolResult) for block in joined[-1].blocks):
        return
    index, _, blocks = joined[-2]
    if not isinstance(blocks[0], Thinking | RedactedThinking):
        raise bad(
            f"messages.{index}.content.0.type: Expected `thinking` or `redacted_thinking`, but found "
            f"`{type(blocks[0]).__struct_config__.tag}`. When `thinking` is enabled, a final `assistant` message must "
            "start with a thinking block."
        )


def _check_sampling(request: MessagesRequest, facts: Facts) -> None:
    temperature, top_p, top_k = request.temperature, request.top_p, request.top_k
    if not facts.sampling:
        if temperature is not None and temperature != 1:
            raise bad("temperature: is not supported for this model; leave it out or send 1.")
        if top_p is not None and top_p < 0.99:
            raise bad("top_p: is not supported for this model; leave it out or send at least 0.99.")
        if top_k is not None:
            raise bad("top_k: is not supported for this model; leave it out.")
        return
    if facts.prefill and temperature is not None and top_p is not None:
        raise bad("`temperature` and `top_p` cannot both be specified for this model. Please use only one.")
    if isinstance(request.thinking, ThinkEnabled | ThinkAdaptive):
        if temperature is not None and temperature != 1:
            raise bad("`temperature` may only be set to 1 when thinking is enabled.")
        if top_k is not None:
            raise bad("`top_k` must be unset when thinking is enabled.")
        if top_p is not None and top_p < 0.95:
            raise bad("`top_p` must be greater than or equal to 0.95 or unset when thinking is enabled.")


def _check_output(request: MessagesRequest, facts: Facts) -> None:
    config = request.output_config
    if config is None:
        return
    if config.effort is not None and config.effort not in facts.efforts:
        raise bad(f"output_config.effort: '{config.effort}' is not supported for this model.")
    if config.format is not None:
        if not facts.structured:
            raise bad("output_config.format: structured outputs are not supported for this model.")
        check_closed(config.format.schema, "output_config.format.schema")
