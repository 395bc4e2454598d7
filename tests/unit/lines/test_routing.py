"""A line finds its provider in the documented order, and only a real contradiction is an error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrouter.domain.line_errors import LineFault
from batchrouter.domain.routing import CACHE_MAX, Resolved, RouteProvider, Router, RoutingError

PROVIDERS = [
    RouteProvider("openai", "openai", ("gpt-*", "o[0-9]*")),
    RouteProvider("claude", "anthropic", alone=("claude-*",)),
    RouteProvider("gemini", "gemini", alone=("gemini-*",), also=("google", "google-ai-studio")),
    RouteProvider("openrouter", "openrouter", aggregator=True),
    RouteProvider("hub", "openai", aggregator=True),
    RouteProvider("local", "openai", ("qwen*", "google/gemma-*")),
]
ALIASES = {
    "claude-4.5-sonnet": "anthropic/claude-sonnet-4-5",
    "cheap": "qwen2.5-7b",
    "gpt-best": "openai/gpt-9",
    "Qwen/big": "local/Qwen2.5-72B",
}
ROUTER = Router(PROVIDERS, ALIASES, "local")


@pytest.mark.parametrize(
    ("field", "model", "provider", "upstream"),
    [
        # provider field
        ("openai", "gpt-4.1-nano", "openai", "gpt-4.1-nano"),
        ("openai", "openai/gpt-4.1-nano", "openai", "gpt-4.1-nano"),
        ("google", "google/gemini-2.5-flash", "gemini", "gemini-2.5-flash"),
        ("anthropic", "anthropic/claude-4.5-sonnet", "claude", "claude-sonnet-4-5"),
        ("anthropic", "claude-4.5-sonnet", "claude", "claude-sonnet-4-5"),
        ("openai", "claude-4.5-sonnet", "openai", "claude-4.5-sonnet"),
        ("local", "meta-llama/Llama-3", "local", "meta-llama/Llama-3"),
        ("local", "google/gemma-3", "local", "google/gemma-3"),
        ("gemini", "", "gemini", ""),
        # aggregators
        ("openrouter", "anthropic/claude-sonnet-4.5", "openrouter", "anthropic/claude-sonnet-4.5"),
        ("openrouter", "openrouter/anthropic/claude-x", "openrouter", "anthropic/claude-x"),
        ("hub", "openai/gpt-oss-120b", "hub", "openai/gpt-oss-120b"),
        # alias
        ("", "claude-4.5-sonnet", "claude", "claude-sonnet-4-5"),
        ("", "cheap", "local", "qwen2.5-7b"),
        ("", "gpt-best", "openai", "gpt-9"),
        ("", "Qwen/big", "local", "Qwen2.5-72B"),
        # glob over the whole name, before the prefix
        ("", "gpt-4o", "openai", "gpt-4o"),
        ("", "google/gemma-3", "local", "google/gemma-3"),
        ("", "qwen/qwen2", "local", "qwen/qwen2"),
        # prefix
        ("", "openai/gpt-4o", "openai", "gpt-4o"),
        ("", "google/gemini-2.5-flash", "gemini", "gemini-2.5-flash"),
        ("", "anthropic/claude-4.5-sonnet", "claude", "claude-sonnet-4-5"),
        ("", "openrouter/anthropic/claude-x", "openrouter", "anthropic/claude-x"),
        # default
        ("", "Qwen/Qwen2.5-7B", "local", "Qwen/Qwen2.5-7B"),
        ("", "GPT-4o", "local", "GPT-4o"),
        ("", "xai/grok", "local", "xai/grok"),
        ("", "openai/", "local", "openai/"),
        ("", "/gpt", "local", "/gpt"),
        ("", "", "local", ""),
    ],
)
def test_the_order_of_ways(field: str, model: str, provider: str, upstream: str) -> None:
    """Field, alias, glob, prefix, default; asked twice, the answer is the same."""
    for _ in range(2):
        assert ROUTER.resolve(field, model) == Resolved(provider, upstream, upstream != model)


@pytest.mark.parametrize(
    ("field", "model", "fault"),
    [
        ("acme", "gpt-4o", LineFault.PROVIDER_NOT_FOUND),
        ("openai", "anthropic/claude-x", LineFault.PROVIDER_MODEL_MISMATCH),
        ("anthropic", "google/gemini-2.5-flash", LineFault.PROVIDER_MODEL_MISMATCH),
    ],
)
def test_what_cannot_be_routed(field: str, model: str, fault: LineFault) -> None:
    """An unknown provider, and a provider against another provider's prefix, are not guessed at."""
    assert ROUTER.resolve(field, model) == RoutingError(fault)


def test_without_a_default_an_unknown_model_is_not_found() -> None:
    """And an alias that leads nowhere is no better."""
    router = Router(PROVIDERS[:1], {"a": "b"}, None)
    for model in ("b", "a", "xai/grok", ""):
        assert router.resolve("", model) == RoutingError(LineFault.MODEL_NOT_FOUND)


def test_a_type_names_a_provider_only_when_it_is_the_only_one() -> None:
    """With two Anthropic accounts the prefix names neither; the generic type never names one."""
    two = Router([RouteProvider("a", "anthropic"), RouteProvider("b", "anthropic")], {}, "b")
    assert two.resolve("", "anthropic/claude-x") == Resolved("b", "anthropic/claude-x", False)
    local = Router([RouteProvider("local", "openai")], {}, "local")
    assert local.resolve("", "openai/gpt-oss-120b") == Resolved("local", "openai/gpt-oss-120b", False)
    assert local.resolve("openai", "gpt-4o") == RoutingError(LineFault.PROVIDER_NOT_FOUND)


@given(st.text(max_size=12), st.text(max_size=12))
def test_any_names_have_an_answer(field: str, model: str) -> None:
    """A model that is rewritten is a tail of its own name or an alias's target: nothing else is made up."""
    found = ROUTER.resolve(field, model)
    assert isinstance(found, RoutingError) or model.endswith(found.model) or model in ALIASES


def test_the_memory_of_answers_is_bounded() -> None:
    """More names than fit are still answered right."""
    router = Router(PROVIDERS, ALIASES, "local")
    for i in range(CACHE_MAX + 10):
        assert router.resolve("", f"openai/{i}") == Resolved("openai", str(i), True)
    assert router.resolve("", "cheap").provider == "local"
