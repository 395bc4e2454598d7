"""Which adapter speaks to a provider, by its facts."""

from __future__ import annotations

from collections.abc import Mapping

from batchrouter.adapters.native.anthropic import VERSION, AnthropicBatches
from batchrouter.adapters.native.caller import Caller, Patience
from batchrouter.adapters.native.files import Files, OpenAIFiles
from batchrouter.adapters.native.gemini_files import GeminiFiles, key_headers
from batchrouter.adapters.native.mistral import MistralJobs
from batchrouter.adapters.native.openai import OpenAIBatches
from batchrouter.adapters.native.together_files import TogetherFiles
from batchrouter.domain.job import NativeFacts
from batchrouter.errors import ConfigError
from batchrouter.ports.clock import Clock
from batchrouter.ports.native import NativeApi


def native_api(
    facts: NativeFacts,
    *,
    base_url: str,
    headers: Mapping[str, str],
    clock: Clock,
    env: Mapping[str, str],
    verify_tls: bool = True,
    ca_file: str | None = None,
    patience: Patience | None = None,
) -> NativeApi:
    """The batch API of one provider under one key; opens nothing before it is used.

    `base_url` as for lines of real time (it ends with the version: `…/v1`), `headers` those that carry the key, and
    the configured ones. `env` is asked for proxies alone. Raises `ConfigError` for a dialect or a way of files that is
    not known, for TLS settings that cannot be used, and for a kind of proxy that we do not speak.
    """

    def caller(base_url: str, headers: Mapping[str, str]) -> Caller:
        return Caller(
            base_url,
            headers,
            verify_tls=verify_tls,
            ca_file=ca_file,
            env=env,
            clock=clock,
            patience=patience or Patience(),
        )

    def files(at: Caller) -> Files:
        match facts.files:
            case "openai":
                return OpenAIFiles(at, facts.purpose)
            case "together":
                return TogetherFiles(at, facts.purpose)
            case "gemini":
                return GeminiFiles(caller(at.base.removesuffix("/openai"), key_headers(headers)))
        raise ConfigError(f"'{facts.files}' is no way of files that is known; known are gemini, openai and together")

    match facts.dialect:
        case "openai":
            at = caller(base_url, headers)
            return OpenAIBatches(at, files(at), facts)
        case "anthropic":
            return AnthropicBatches(caller(base_url, {"anthropic-version": VERSION, **_lower(headers)}))
        case "mistral":
            at = caller(base_url, headers)
            return MistralJobs(at, OpenAIFiles(at, facts.purpose), facts)
    raise ConfigError(f"the batch dialect '{facts.dialect}' is not known; known are anthropic, mistral and openai")


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
