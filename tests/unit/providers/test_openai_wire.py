"""What is sent to an OpenAI-shaped upstream."""

from __future__ import annotations

import pytest

from batchrouter.errors import ConfigError
from batchrouter.providers.openai import OpenAIWire


def test_the_head_is_whole_and_carries_the_key() -> None:
    """Request line, host, key and `accept-encoding: identity` are there, and only the length is left to add."""
    wire = OpenAIWire("https://api.example.com/v1/", "m", api_key="sk-1", headers={"X-Team": "a"})
    head = wire.head("/v1/chat/completions")
    assert head.startswith(b"POST /v1/chat/completions HTTP/1.1\r\nhost: api.example.com\r\n")
    assert b"authorization: Bearer sk-1\r\n" in head
    assert b"accept-encoding: identity\r\n" in head
    assert b"x-team: a\r\n" in head
    assert head.endswith(b"\r\ncontent-length: ")


@pytest.mark.parametrize(
    ("base_url", "host", "path"),
    [
        ("http://gpu:8000/v1", b"host: gpu:8000\r\n", b"POST /v1/embeddings "),
        ("http://gpu:80/v1", b"host: gpu\r\n", b"POST /v1/embeddings "),
        ("http://[::1]:8000/v1", b"host: [::1]:8000\r\n", b"POST /v1/embeddings "),
        ("https://h/v1beta/openai", b"host: h\r\n", b"POST /v1beta/openai/embeddings "),
        ("http://h", b"host: h\r\n", b"POST /embeddings "),
    ],
)
def test_a_lines_url_goes_behind_the_base_url(base_url: str, host: bytes, path: bytes) -> None:
    """`/v1` of the line's url is replaced by the base URL's own path."""
    head = OpenAIWire(base_url, "m").head("/v1/embeddings")
    assert host in head
    assert head.startswith(path)


@pytest.mark.parametrize(
    "base_url", ["gpu:8000", "ftp://h/v1", "http://", "http://h/v1?x=1", "http://h:port/v1", "http://h/a b"]
)
def test_a_base_url_that_cannot_work_is_refused(base_url: str) -> None:
    """With a sentence, when the configuration is read, not when the first line is sent."""
    with pytest.raises(ConfigError):
        OpenAIWire(base_url, "m")


@pytest.mark.parametrize("headers", [{"x": "a\r\nhost: evil"}, {"bad name": "v"}, {"x": "\u2028"}])
def test_headers_cannot_split_a_request(headers: dict[str, str]) -> None:
    """A header from the configuration cannot smuggle another one in."""
    with pytest.raises(ConfigError):
        OpenAIWire("http://h/v1", "m", headers=headers)


def test_only_the_model_of_a_body_changes() -> None:
    """Every other byte stays, odd spacing included."""
    wire = OpenAIWire("http://h/v1", "upstream-name")
    assert (
        wire.encode("/v1/chat/completions", b'{ "model" : "alias","n":1.0 }').body
        == b'{ "model" : "upstream-name","n":1.0 }'
    )
