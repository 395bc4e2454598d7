"""`batchrouter check`: offline, and complete."""

from __future__ import annotations

import json

import pytest

from tests.acceptance.cli.rig import Shell, request


def test_every_error_is_printed_however_many_there_are(shell: Shell) -> None:
    """A batch lists a thousand; this lists them all, in order, with number, code and param."""
    bad = '{"custom_id": "x", "method": "GET", "url": "/v1/chat/completions", "body": {}}\n'
    shell.path("in.jsonl").write_text(json.dumps(request(0)) + "\n\n" + bad * 1500 + "no json\n")
    ended = shell("check", "in.jsonl")
    assert ended.code == 1
    told = [line for line in ended.out.splitlines() if line.startswith("line ")]
    assert len(told) == 1501
    assert told[0].startswith("line 3: invalid_method [method]: Invalid value for 'method'")
    assert told[-1] == "line 1503: invalid_json_line: This line is not parseable as valid JSON."
    assert "1,501 errors" in ended.out


def test_json_holds_the_same_errors_and_the_counts(shell: Shell) -> None:
    shell.config("http://127.0.0.1:9/v1")
    shell.requests(30)
    with shell.path("in.jsonl").open("a") as file:
        file.write(json.dumps(request(7)) + "\n")
    ended = shell.inside("check", "in.jsonl", "--json")
    assert ended.code == 1
    told = ended.json
    assert [(error["line"], error["code"], error["param"]) for error in told["errors"]] == [
        (31, "duplicate_custom_id", "custom_id")
    ]
    assert (told["ok"], told["error_count"], told["lines"]) == (False, 1, 31)
    assert told["models"] == {"b": 16, "a": 15}
    assert told["lanes"] == {"sim/a": 15, "sim/b": 15}
    assert told["providers"] == {"sim": 30}
    assert told["bytes"] == shell.path("in.jsonl").stat().st_size
    assert abs(told["tokens_estimate"] - told["bytes"] / 4) < 10


def test_a_sound_file_needs_no_configuration_and_says_that_routing_was_not_checked(shell: Shell) -> None:
    """Nothing is configured, so no model and no provider can be missing."""
    lines = [request(number) for number in range(4)]
    lines[1]["provider"] = "nobody"
    lines[2]["body"]["model"] = "nobody/else"
    lines[3] |= {"provider": "other", "body": lines[3]["body"] | {"model": "nobody/else"}}
    shell.path("in.jsonl").write_text("\n".join(map(json.dumps, lines)))
    ended = shell.inside("check", "in.jsonl")
    assert ended.code == 0, ended.out
    assert "no errors" in ended.out
    assert "not checked: no provider is configured" in ended.out
    assert "an estimate" in ended.out or "estimated" in ended.out


def test_with_a_configuration_a_model_that_nobody_serves_is_an_error(shell: Shell) -> None:
    providers = {name: {"base_url": "http://127.0.0.1:9/v1", "models": [f"{name}-*"]} for name in ("one", "two")}
    shell.path("mine.yaml").write_text(json.dumps({"providers": providers}))
    shell.requests(1)
    ended = shell.inside("check", "in.jsonl", "--config", "mine.yaml", "--json")
    assert ended.code == 1
    assert [error["code"] for error in ended.json["errors"]] == ["model_not_found"]


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("", ["empty_file"]),
        ('{"custom_id": "a", "method": "POST", "url": "/v1/odd", "body": {"model": "m"}}', ["invalid_url"]),
    ],
)
def test_what_is_wrong_with_the_file_as_a_whole_has_no_line(shell: Shell, text: str, codes: list[str]) -> None:
    shell.path("in.jsonl").write_text(text)
    ended = shell.inside("check", "in.jsonl", "--json")
    assert ended.code == 1
    assert [(error["line"], error["code"]) for error in ended.json["errors"]] == [(None, code) for code in codes]


def test_lines_of_another_endpoint_than_the_one_asked_for_are_errors(shell: Shell) -> None:
    shell.requests(2)
    ended = shell.inside("check", "in.jsonl", "--endpoint", "/v1/embeddings", "--json")
    assert ended.code == 1
    assert {error["code"] for error in ended.json["errors"]} == {"invalid_url"}


def test_a_file_that_is_not_there_is_exit_code_2(shell: Shell) -> None:
    ended = shell.inside("check", "absent.jsonl", "--json")
    assert ended.code == 2
    assert ended.json["ok"] is False
