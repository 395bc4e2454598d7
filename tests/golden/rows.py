"""The rows of the mapping tables, as `docs/translation.md` has them; each is shown by at least one golden file."""

from __future__ import annotations

REQUEST = (
    "model", "system", "user text", "empty text", "image data", "image url", "image detail", "file", "audio",
    "assistant tool_calls", "thinking_blocks", "assistant refusal", "tool results", "function messages", "merge",
    "first turn", "prefill", "tool ids", "tool names", "tools", "strict", "functions", "tool_choice", "forced tool",
    "parallel_tool_calls", "json_schema", "json_object", "max_tokens", "max_tokens default", "stop", "temperature",
    "top_p", "reasoning_effort", "reasoning_effort none", "user", "service_tier", "n", "logprobs", "logit_bias",
    "dropped", "cache_control", "passed through", "policy", "batch", "stream", "unsupported endpoint", "messages",
)  # fmt: skip
REPLY = (
    "3.2 members", "text blocks", "thinking", "redacted thinking", "tool_use", "server tools", "end_turn",
    "stop_sequence", "pause_turn", "stop max_tokens", "model_context_window_exceeded", "stop tool_use", "refusal",
    "usage", "reasoning tokens",
)  # fmt: skip
ERRORS = (
    "invalid_request_error", "authentication_error", "billing_error", "permission_error", "not_found_error",
    "request_too_large", "rate_limit_error", "api_error", "timeout_error", "overloaded_error", "conflict_error",
    "prompt is too long", "spend limit",
)  # fmt: skip
RESPONSES = (
    "R instructions", "R input string", "R message items", "R function_call", "R function_call_output",
    "R reasoning items", "R max_output_tokens", "R reasoning.effort", "R text.format", "R tools", "R tool_choice",
    "R parallel", "R dropped", "R rejected", "R members", "R incomplete", "R usage",
)  # fmt: skip
ROWS = REQUEST + REPLY + ERRORS + RESPONSES
