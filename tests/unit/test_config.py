"""The configuration says what it means, or says what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchrouter.config import load, parse, window_seconds
from batchrouter.errors import ConfigError

WHOLE = """
server:   {host: 0.0.0.0, port: 9000, shutdown_grace_s: 5}
storage:  {database: sqlite, blobs: ./here}
providers:
  openai: {type: openai, api_key: "${KEY}"}
  local:  {type: openai, base_url: "http://gpu-1:8000/v1", models: ["qwen*"], fixed_in_flight: 64}
models:   {small: local/qwen3}
default_provider: local
batches:  {completion_windows: [24h, 1h], max_lines: 10}
"""

COUNTS = (
    "max_lines",
    "max_bytes",
    "max_embedding_inputs",
    "max_lanes",
    "max_line_bytes",
    "max_reply_bytes",
    "max_attempts",
    "memory_bytes",
)
PACES = ("max_in_flight", "start_in_flight", "fixed_in_flight", "total_in_flight", "rpm", "tpm", "connect_timeout")
NO_URLS = (
    "ftp://x",
    "localhost:8000/v1",
    "http://",
    "http://h:x/v1",
    "http://h:99999",
    "http://h/v1?a=b",
    "http://h/ä",
)


def provider(setting: str, *others: str) -> str:
    """Two providers have no default unless one is named."""
    names = "".join(f", {name}: {{base_url: 'http://h'}}" for name in others)
    return f"providers: {{a: {{base_url: 'http://h', {setting}}}{names}}}\n"


def test_a_whole_file_is_read() -> None:
    """Every section, with a secret from the environment."""
    config = parse(WHOLE, {"KEY": "sk-1"}, "x.yaml")
    assert config.server.port == 9000
    assert config.providers["openai"].api_key == "sk-1"
    assert config.providers["openai"].base_url == "https://api.openai.com/v1"
    assert config.providers["local"].fixed_in_flight == 64
    assert config.windows_s == {"24h": 86_400, "1h": 3_600}
    assert config.default_provider == "local"


def test_nothing_is_needed() -> None:
    """Without a file the providers are those whose usual variables are set."""
    config = load(None, {"OPENAI_API_KEY": "sk-1", "GEMINI_API_KEY": "g"})
    assert set(config.providers) == {"openai", "gemini"}
    assert config.providers["gemini"].api_key == "g"
    assert config.default_provider is None
    assert load(None, {}).providers == {}


def test_a_file_in_the_folder_is_found(tmp_path: Path) -> None:
    """`batchrouter.yaml` where one stands is taken without being named."""
    (tmp_path / "batchrouter.yaml").write_text("server: {port: 1234}")
    assert load(None, {}, tmp_path).server.port == 1234


@pytest.mark.parametrize("secret", ["${KEY}", "os.environ/KEY", "env.KEY"])
def test_secrets_are_taken_from_the_environment_in_three_spellings(secret: str) -> None:
    """As in the tools that people come from."""
    text = f"providers: {{a: {{base_url: 'http://h/v1', api_key: '{secret}'}}}}"
    assert parse(text, {"KEY": "v"}, "x").providers["a"].api_key == "v"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sever: {}", "'sever'; did you mean 'server'"),
        ("server: {prot: 1}", "'server.prot'; did you mean 'port'"),
        ("providers: {a: {base_ulr: x}}", "'providers.a.base_ulr'; did you mean 'base_url'"),
        ("server: {port: high}", "port"),
        ("providers: {a: {}}", "needs a base_url"),
        ("providers: {a: {type: carrier-pigeon, base_url: 'http://h'}}", "carrier-pigeon"),
        ("providers: {a: {base_url: 'http://h', api_key: '${NONE}'}}", "no variable NONE"),
        ("providers: {a: {base_url: 'http://h', max_in_flight: 0}}", "max_in_flight is 0; it must be between 1 and"),
        ("providers: {a/b: {base_url: 'http://h'}}", "slash"),
        ("default_provider: x", "not among providers"),
        ("batches: {completion_windows: [soon]}", "soon"),
        ("batches: {endpoints: ['no slash']}", "plain path"),
        ("storage: {database: mysql}", "mysql"),
        ("batches: {completion_windows: []}", "batches.completion_windows is empty"),
        *(
            (f"batches: {{{name}: {wrong}}}", f"batches.{name} is {wrong}")
            for name in COUNTS
            for wrong in (0, -5, 1 << 60)
        ),
        ("batches: {memory_bytes: 1000}", "batches.memory_bytes is 1000"),
        *((f"server: {{port: {wrong}}}", f"server.port is {wrong}") for wrong in (-1, 65_536)),
        *((f"server: {{shutdown_grace_s: {wrong}}}", "server.shutdown_grace_s is") for wrong in (-1, ".inf", ".nan")),
        *((provider(f"{name}: {wrong}"), f"providers.a.{name} is") for name in PACES for wrong in (0, -1)),
        *((provider(f"timeout: {wrong}"), "providers.a.timeout is") for wrong in (0, -1, ".inf", ".nan", 1e9)),
        *((f"providers: {{a: {{base_url: '{wrong}'}}}}", "providers.a.base_url") for wrong in NO_URLS),
        (provider("ca_file: /nowhere/ca.pem"), "providers.a.ca_file '/nowhere/ca.pem' is no file"),
        *((provider(f'api_key: "{wrong}"'), "providers.a.api_key has") for wrong in ("sk-1\\n", "sk 1 ", "sk-\\u20ac")),
        (
            provider("models: ['x*']", "b") + "models: {small: azure/gpt}",
            "models.small: no provider serves 'azure/gpt'",
        ),
        ("[1, 2]", "mapping"),
        ("a: [", "not YAML"),
    ],
)
def test_what_is_wrong_is_said(text: str, words: str) -> None:
    """The message names the file, the key and the near word."""
    with pytest.raises(ConfigError, match=words) as told:
        parse(text, {}, "my.yaml")
    assert "my.yaml" in str(told.value)


def test_an_alias_may_lead_wherever_a_line_could_go() -> None:
    """A provider's name before it, a glob that takes it, or the default."""
    two = provider("models: ['x*']", "b")
    for text in (
        two + "models: {small: b/gpt}",
        two + "models: {small: xyz}",
        provider("rpm: 1") + "models: {s: az/g}",
    ):
        assert parse(text, {}, "x").models
    assert parse("models: {small: b/gpt}", {}, "x").models, "without any provider only checking is wanted"


def test_a_key_is_never_told() -> None:
    """Not even one that is refused."""
    with pytest.raises(ConfigError) as told:
        parse(provider('api_key: "sk-secret\\n"'), {}, "x")
    assert "sk-secret" not in str(told.value)


def test_windows_are_numbers_of_seconds_minutes_hours_or_days() -> None:
    """Nothing else, and nothing without an end."""
    assert [window_seconds(each) for each in ("10s", "15m", "24h", "7d")] == [10, 900, 86_400, 604_800]
    for wrong in ("0h", "h", "24", "1w", "-1h", "1.5h"):
        with pytest.raises(ConfigError):
            window_seconds(wrong)
