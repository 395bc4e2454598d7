"""Answers of POST /v1/messages: thinking, text or JSON, calls of tools, and what all that cost."""

from __future__ import annotations

import base64
import re
from typing import Any

import msgspec

from batchrouter.simulator.answers.common import REASONING_TOKENS, cut, echo, tokens
from batchrouter.simulator.anthropic.cache import Prompt, PromptCache
from batchrouter.simulator.anthropic.checks import SIGNED, check, joined_turns, thinks
from batchrouter.simulator.anthropic.errors import bad
from batchrouter.simulator.anthropic.facts import Facts, facts_of
from batchrouter.simulator.anthropic.schema import sample
from batchrouter.simulator.anthropic.wire import (
    ChooseAny,
    ChooseNone,
    ChooseTool,
    MessagesRequest,
    Text,
    Tool,
    ToolResult,
    decoded,
    tools_of,
)

PATH = "/v1/messages"
THOUGHT = "The simulator thinks about"
Tools = list[Tool | dict[str, Any]]

_decoder = msgspec.json.Decoder(MessagesRequest)
_json = msgspec.json.Encoder().encode


class Said(msgspec.Struct, kw_only=True):
    """A message before it has a wire form. `blocks` are its content, in order."""

    key: str
    model: str
    blocks: list[dict[str, Any]]
    stop_reason: str
    stop_sequence: str | None
    prompt: Prompt
    output_tokens: int
    thinking_tokens: int | None
    stream: bool

    def usage(self, tier: str = "standard") -> dict[str, object]:
        """`output_tokens_details` only where the model thought."""
        usage: dict[str, object] = {
            "input_tokens": self.prompt.fresh,
            "cache_creation_input_tokens": self.prompt.written,
            "cache_read_input_tokens": self.prompt.read,
            "cache_creation": {
                "ephemeral_5m_input_tokens": self.prompt.written_5m,
                "ephemeral_1h_input_tokens": self.prompt.written_1h,
            },
            "output_tokens": self.output_tokens,
            "service_tier": tier,
        }
        if self.thinking_tokens is not None:
            usage["output_tokens_details"] = {"thinking_tokens": self.thinking_tokens}
        return usage

    def message(self, tier: str = "standard") -> dict[str, object]:
        return {
            "id": f"msg_{self.key}",
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": self.blocks,
            "stop_reason": self.stop_reason,
            "stop_sequence": self.stop_sequence,
            "stop_details": None,
            "usage": self.usage(tier),
        }


def say(key: str, body: bytes, cache: PromptCache, *, batched: bool = False) -> Said:
    """What the model answers to this body, whose `expected_key` is `key`. Raises ApiError 400 for one that is wrong.

    All but the usage of the prompt cache follows from the body alone.
    """
    request = decoded(_decoder, body)
    facts = facts_of(request.model)
    tools = tools_of(request)
    if batched and request.stream:
        raise bad("stream: streaming is not supported in a batch")
    if batched and request.max_tokens == 0:
        raise bad("max_tokens: 0 is not supported in a batch")
    if batched and request.speed is not None:
        raise bad("speed: is not supported in a batch")
    check(request, tools, facts)
    prompt = cache.meter(request, tools)
    if prompt.total > facts.max_input_tokens:
        raise bad(f"prompt is too long: {prompt.total} tokens > {facts.max_input_tokens} maximum")
    return _Speech(key, request, tools, facts).said(prompt)


class _Speech:
    """The blocks of one answer, made within `max_tokens`."""

    def __init__(self, key: str, request: MessagesRequest, tools: Tools, facts: Facts) -> None:
        self.key = key
        self.request = request
        self.tools = tools
        self.facts = facts
        self.blocks: list[dict[str, Any]] = []
        self.left = request.max_tokens
        self.stop_reason = "end_turn"
        self.stop_sequence: str | None = None
        self.heard = last_words(request)
        self.text = echo(key, self.heard)

    def said(self, prompt: Prompt) -> Said:
        thinking_tokens = self._think() if thinks(self.request, self.facts) else None
        chosen = self._chosen()
        if not chosen:
            self._speak()
        elif not isinstance(self.request.tool_choice, ChooseAny | ChooseTool):
            self._speak(calls=True)
        for index, tool in enumerate(chosen):
            self._call(index, tool)
        return Said(
            key=self.key,
            model=self.request.model,
            blocks=self.blocks,
            stop_reason=self.stop_reason,
            stop_sequence=self.stop_sequence,
            prompt=prompt,
            output_tokens=self.request.max_tokens - self.left,
            thinking_tokens=thinking_tokens,
            stream=self.request.stream,
        )

    def _think(self) -> int:
        spent = min(REASONING_TOKENS, self.left)
        self.left -= spent
        display = getattr(self.request.thinking, "display", None)
        thought = "" if display == "omitted" else f"{THOUGHT} {self.key}"
        signature = base64.b64encode(SIGNED + self.key.encode()).decode()
        if spent:
            self.blocks.append({"type": "thinking", "thinking": thought, "signature": signature})
        return spent

    def _speak(self, calls: bool = False) -> None:
        """Text, or JSON where a schema asks for it; `calls` says that calls of tools follow."""
        config = self.request.output_config
        text = self.text
        if config is not None and config.format is not None and not calls:
            text = _json(sample(config.format.schema, text)).decode()
        stops = [(text.find(stop), stop) for stop in self.request.stop_sequences if stop in text]
        if stops and not calls:
            at, self.stop_sequence = min(stops)
            text, self.stop_reason = text[:at], "stop_sequence"
        text, was_cut = cut(text, self.left)
        if was_cut:
            self.stop_reason, self.stop_sequence = "max_tokens", None
        self.left -= tokens(text)
        if text:
            self.blocks.append({"type": "text", "text": text})

    def _call(self, index: int, tool: Tool) -> None:
        value = sample(tool.input_schema, self.text)
        cost = tokens(tool.name) + tokens(_json(value).decode())
        if cost > self.left or self.stop_reason == "max_tokens":
            self.stop_reason = "max_tokens"
            return
        self.left -= cost
        self.stop_reason = "tool_use"
        called = f"toolu_{self.key[:28]}{index:02d}"
        self.blocks.append({"type": "tool_use", "id": called, "name": tool.name, "input": value})

    def _chosen(self) -> list[Tool]:
        """The tools to call: those that the last turn names as words; one at least where one is forced."""
        choice = self.request.tool_choice
        usable = [tool for tool in self.tools if isinstance(tool, Tool)]
        if isinstance(choice, ChooseNone) or not usable:
            return []
        if isinstance(choice, ChooseTool):
            return [tool for tool in usable if tool.name == choice.name]
        words = set(re.findall(r"[a-zA-Z0-9_-]+", self.heard))
        named = [tool for tool in usable if tool.name in words]
        if isinstance(choice, ChooseAny) and not named:
            named = usable[:1]
        return named[:1] if choice is not None and choice.disable_parallel_tool_use else named


def last_words(request: MessagesRequest) -> str:
    """The text of the last turn of the user, results of tools included."""
    last = [turn for turn in joined_turns(request.messages) if turn.role == "user"][-1]
    words: list[str] = []
    for block in last.blocks:
        if isinstance(block, Text):
            words.append(block.text)
        elif isinstance(block, ToolResult):
            inner = [Text(block.content)] if isinstance(block.content, str) else block.content
            words += [one.text for one in inner if isinstance(one, Text)]
    return " ".join(words)
