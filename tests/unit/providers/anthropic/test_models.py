"""What is known of each model, and what the provider's own list makes of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, get_args

import pytest
from anthropic.types import ModelInfo, ModelParam

from batchrouter.providers.anthropic.models import NEWEST, ROWS, UNKNOWN, facts_from_listing, facts_of, row_of


def test_every_model_that_the_vendors_client_names_has_a_row() -> None:
    """A new version of the client with a new model turns this red."""
    literals = get_args(get_args(ModelParam)[0])
    assert {row_of(model) for model in literals} == set(ROWS)


@pytest.mark.parametrize(
    ("model", "row"),
    [
        ("claude-sonnet-4-5-20250929", "sonnet-4-5"),
        ("claude-sonnet-4.5", "sonnet-4-5"),
        ("claude-4.5-sonnet", "sonnet-4-5"),
        ("Claude-Opus-5", "opus-5"),
        ("claude-opus-5-20260701", "opus-5"),
        ("claude-opus-5-5", "opus-5-5"),
        ("anthropic.claude-opus-4-6-20260205-v1:0", "opus-4-6"),
        ("claude-haiku-4-5@20251001", "haiku-4-5"),
        ("claude-mythos-preview", "mythos-preview"),
        ("gpt-5", None),
    ],
)
def test_a_model_is_known_under_all_its_names(model: str, row: str | None) -> None:
    """Dates, platforms and spellings do not hide it."""
    assert row_of(model) == row


def test_an_unknown_model_is_like_the_newest_without_a_known_limit() -> None:
    """A limit that is not known is not enforced."""
    facts = facts_of("claude-sonnet-7")
    assert facts is UNKNOWN
    assert facts.max_output is None
    assert (facts.sampling, facts.prefill, facts.forced_tool) == (NEWEST.sampling, NEWEST.prefill, NEWEST.forced_tool)


def supported(value: bool) -> dict[str, Any]:
    return {"supported": value}


def entry(model: str, **more: Any) -> dict[str, Any]:
    """As the vendor's own type writes it, so that a changed type is noticed here."""
    capability = supported(True)
    told: dict[str, Any] = {
        "id": model,
        "type": "model",
        "display_name": model,
        "created_at": datetime(2026, 1, 1, tzinfo=UTC).isoformat(),
        "lifecycle": "active",
        "max_tokens": 300_000,
        "max_input_tokens": 2_000_000,
        "capabilities": {
            "batch": capability,
            "citations": capability,
            "code_execution": capability,
            "context_management": capability,
            "effort": {
                **capability,
                "low": capability,
                "medium": capability,
                "high": capability,
                "max": supported(False),
                "xhigh": None,
            },
            "image_input": capability,
            "pdf_input": capability,
            "server_tools": {**capability, "code_execution": capability, "web_search": capability},
            "structured_outputs": supported(False),
            "thinking": {
                **capability,
                "types": {
                    "adaptive": supported(False),
                    "between_tools": capability,
                    "disabled": capability,
                    "enabled": capability,
                },
            },
        },
        **more,
    }
    return ModelInfo.model_validate(told).model_dump(mode="json")


def test_the_providers_list_knows_better() -> None:
    """What it tells replaces the row; what it does not tell stays."""
    facts = facts_from_listing({"data": [entry("claude-sonnet-5-5")], "has_more": False})["claude-sonnet-5-5"]
    assert (facts.max_output, facts.max_input) == (300_000, 2_000_000)
    assert facts.efforts == ("low", "medium", "high")
    assert (facts.adaptive, facts.budget, facts.always_thinks, facts.structured) == (False, True, False, False)
    assert (facts.sampling, facts.forced_tool, facts.prefill) == (False, False, False)


def test_one_model_alone_is_a_list_of_one() -> None:
    """`GET /v1/models/{id}` answers with the entry itself."""
    assert facts_from_listing(entry("claude-opus-5"))["claude-opus-5"].max_output == 300_000


def test_a_model_without_thinking_or_effort_has_neither() -> None:
    """Thinking that cannot be switched off is none where there is no thinking."""
    told = entry("claude-opus-5")
    told["capabilities"]["effort"]["supported"] = False
    told["capabilities"]["thinking"]["supported"] = False
    told["capabilities"]["thinking"]["types"]["disabled"]["supported"] = False
    facts = facts_from_listing({"data": [told]})["claude-opus-5"]
    assert facts.efforts == ()
    assert not facts.always_thinks


@pytest.mark.parametrize(
    "listing",
    [
        None,
        [],
        {"data": None},
        {"data": [7, {}, {"id": 7}]},
        {"data": [{"id": "claude-opus-5", "capabilities": None, "max_tokens": None}]},
        {"data": [{"id": "claude-opus-5", "capabilities": {"thinking": 1, "effort": "x"}, "max_tokens": "many"}]},
    ],
)
def test_a_list_that_is_not_understood_changes_nothing(listing: Any) -> None:
    """The rows stand without it."""
    assert set(facts_from_listing(listing).values()) <= {facts_of("claude-opus-5")}
