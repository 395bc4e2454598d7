"""The page about translation leaves no parameter out, and every row that it promises is shown by a file."""

from __future__ import annotations

from typing import get_type_hints

import pytest
from openai.types.chat import completion_create_params
from openai.types.responses import response_create_params

from tests.unit.docs.pages import DOCS, text

PAGE = text(DOCS / "translation.md")
SECTIONS = dict(part.split("\n", 1) for part in PAGE.split("\n## ")[1:])


@pytest.mark.parametrize(
    ("section", "params"),
    [
        ("A chat's parameters", completion_create_params.CompletionCreateParamsNonStreaming),
        ("Responses", response_create_params.ResponseCreateParamsNonStreaming),
    ],
)
def test_every_parameter_of_openai_is_told_of(section: str, params: type) -> None:
    """A new version of OpenAI's client with a new parameter turns this red."""
    assert {name for name in get_type_hints(params) if f"`{name}`" not in SECTIONS[section]} == set()
