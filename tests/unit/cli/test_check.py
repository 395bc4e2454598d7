"""`batchrouter check`: what a provider would make of lines that a batch accepts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from batchrouter.cli.check import CheckOptions, check

CONFIG = """
providers:
  anthropic: {api_key: k}
  groq: {api_key: k}
  mistral: {api_key: k, batch: {min_requests: 2}}
  local: {base_url: 'http://127.0.0.1:9/v1', service_tier: flex}
default_provider: local
"""
TEXT = [{"role": "user", "content": "x"}]


def line(number: int, model: str, more: dict[str, Any] | None = None, **members: Any) -> str:
    body = {"model": model, "messages": TEXT, **(more or {})}
    return json.dumps(
        {"custom_id": f"q{number}", "method": "POST", "url": "/v1/chat/completions", "body": body, **members}
    )


def checked(folder: Path, capsys: pytest.CaptureFixture[str], text: str, config: str = CONFIG) -> tuple[int, Any]:
    (folder / "c.yaml").write_text(config)
    (folder / "in.jsonl").write_text(text)
    code = check(CheckOptions(source=folder / "in.jsonl", config=folder / "c.yaml", json=True))
    return code, json.loads(capsys.readouterr().out)


def test_what_would_fail_unsent_is_an_error_of_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In the order of lines, among the others."""
    text = "\n".join(
        [
            line(1, "local-model", {"n": 2, "logprobs": True}),
            line(2, "groq/llama", {"n": 2}),
            "no json",
            line(4, "claude-opus-5", {"n": 2}),
            line(5, "xai/grok"),
        ]
    )
    code, told = checked(tmp_path, capsys, text)
    assert code == 1
    assert [(error["line"], error["code"], error["param"]) for error in told["errors"]] == [
        (2, "unsupported_parameter", "n"),
        (3, "invalid_json_line", None),
        (4, "unsupported_parameter", "n"),
    ]
    assert told["error_count"] == 3
    assert told["lanes"] == {"local/local-model": 1, "groq/llama": 1, "anthropic/claude-opus-5": 1, "local/xai/grok": 1}


def test_an_endpoint_that_a_provider_does_not_have(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every one of its lines would fail."""
    text = json.dumps(
        {"custom_id": "a", "method": "POST", "url": "/v1/embeddings", "body": {"model": "claude-opus-5", "input": "x"}}
    )
    code, told = checked(tmp_path, capsys, text)
    assert code == 1
    assert [error["code"] for error in told["errors"]] == ["unsupported_endpoint"]


def test_what_would_be_left_out_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is no error; and a body that goes out as it is is not even read."""
    text = "\n".join(line(each, "mistral/m", {"user": "u", "store": True}) for each in range(3))
    code, told = checked(tmp_path, capsys, text + "\n" + line(9, "free", {"user": "u"}))
    assert code == 0
    assert told["dropped"] == {"user": 3, "store": 3}


def test_the_ways_of_lines_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Batch where it is worth it, flex where it is wished, and what lines wish themselves."""
    text = "\n".join(
        [
            *(line(each, "mistral/m") for each in range(3)),
            line(4, "mistral/m", mode="realtime"),
            line(5, "groq/m"),
            line(6, "groq/m", mode="batch"),
            line(7, "free"),
        ]
    )
    code, told = checked(tmp_path, capsys, text)
    assert (code, told["ways"]) == (0, {"batch": 4, "realtime": 2, "flex": 1})
    assert told["lanes"] == {"mistral/m": 4, "groq/m": 2, "local/free": 1}


def test_a_wish_that_a_provider_cannot_fulfil_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As it is when the batch is made."""
    code, told = checked(tmp_path, capsys, line(1, "free", mode="batch"))
    assert (code, [error["code"] for error in told["errors"]]) == (1, ["mode_unsupported"])


def test_a_provider_that_takes_batches_alone_is_asked_as_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another BatchRouter has no real time, and needs none."""
    config = "providers: {other: {type: batchrouter, base_url: 'http://127.0.0.1:9'}}"
    code, told = checked(tmp_path, capsys, line(1, "m"), config)
    assert (code, told["ways"]) == (0, {"batch": 1})
