"""The many spellings of a Claude model are one, and what is no such spelling is left alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchrouter.domain.claude_names import claude_name
from batchrouter.domain.routing import Resolved, RouteProvider, Router


@pytest.mark.parametrize(
    ("spelt", "name"),
    [
        # the one of FastRouter, of OpenRouter, and Anthropic's own
        ("claude-4.5-sonnet", "claude-sonnet-4-5"),
        ("claude-sonnet-4.5", "claude-sonnet-4-5"),
        ("claude-sonnet-4-5", "claude-sonnet-4-5"),
        ("claude-4-5-sonnet", "claude-sonnet-4-5"),
        ("claude-5-opus", "claude-opus-5"),
        ("claude-fable-5.1", "claude-fable-5-1"),
        ("claude-mythos-5", "claude-mythos-5"),
        ("claude-4-sonnet-20250514", "claude-sonnet-4-20250514"),
        ("claude-sonnet-4.5-20250929", "claude-sonnet-4-5-20250929"),
        ("claude-sonnet-4-5@20250929", "claude-sonnet-4-5-20250929"),
        ("claude-opus-4-20250514", "claude-opus-4-20250514"),
        # before the fourth the version stands first
        ("claude-3.5-sonnet-20241022", "claude-3-5-sonnet-20241022"),
        ("claude-3-5-sonnet-latest", "claude-3-5-sonnet-latest"),
        ("claude-haiku-3-20240307", "claude-3-haiku-20240307"),
    ],
)
def test_every_spelling_becomes_anthropic_s_own(spelt: str, name: str) -> None:
    """Whatever the order, the dots, and the date behind."""
    assert claude_name(spelt) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "claude",
        "claude-sonnet",
        "claude-mythos-preview",
        "claude-instant-1.2",
        "claude-sonnet-4.5:thinking",
        "claude-sonnet-4.5-mine",
        "claude-sonnet-123",
        "gpt-4.5-sonnet",
        "x-claude-sonnet-4.5",
    ],
)
def test_what_is_not_understood_stays(name: str) -> None:
    """The provider will say what it thinks of it."""
    assert claude_name(name) == name


@given(
    st.sampled_from(("opus", "sonnet", "haiku", "fable", "mythos")),
    st.integers(1, 99),
    st.none() | st.integers(0, 99),
    st.sampled_from(("", "-20250929", "-latest")),
)
def test_order_and_dots_make_no_difference(line: str, major: int, minor: int | None, when: str) -> None:
    """And a name that is right already is not changed again."""
    versions = [str(major)] if minor is None else [f"{major}.{minor}", f"{major}-{minor}"]
    names = {claude_name(f"claude-{each}{when}") for v in versions for each in (f"{line}-{v}", f"{v}-{line}")}
    assert len(names) == 1
    assert claude_name(name := names.pop()) == name
    assert "." not in name


def test_a_glob_matches_a_model_as_the_line_or_as_anthropic_spells_it() -> None:
    """Of an Anthropic provider alone: elsewhere names are what they are."""
    globs = ("claude-sonnet-4-5", "claude-opus-5.1")
    router = Router([RouteProvider("a", "anthropic", globs), RouteProvider("b", "openrouter", globs)], {}, None)
    for model in (*globs, "claude-4.5-sonnet"):
        found = router.resolve("", model)
        assert isinstance(found, Resolved)
        assert found.provider == "a"
        assert "." not in found.model
    others = Router([RouteProvider("b", "openrouter", globs)], {}, "b")
    assert others.resolve("", "claude-4.5-sonnet") == Resolved("b", "claude-4.5-sonnet", False)
