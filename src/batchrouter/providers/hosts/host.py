"""What there is to know of a host before the first line is sent to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from batchrouter.domain.job import NativeFacts
from batchrouter.providers.rules import CHAT, Rule

RESPONSES = "/v1/responses"
EMBEDDINGS = "/v1/embeddings"
COMPLETIONS = "/v1/completions"
MODERATIONS = "/v1/moderations"
IMAGES = "/v1/images/generations"
IMAGE_EDITS = "/v1/images/edits"
MESSAGES = "/v1/messages"
ALL_ENDPOINTS = (CHAT, RESPONSES, EMBEDDINGS, COMPLETIONS, MODERATIONS, IMAGES, IMAGE_EDITS, MESSAGES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """The facts of one host; what is not told is as OpenAI has it.

    `aliases`: what others call it. `base_url`: where a line's `/v1` is, None where every customer has an address of
    their own; `path` is put behind an address that has none. `domains`: addresses that are the vendor's own, below
    which its key and its facts hold. `key_env`, `base_env`: variables of the environment, first one wins.

    `wire`: `openai` or `anthropic`. `auth_header` carries the key behind `auth_scheme`. `endpoints`: those that it
    serves; None: not known, all are tried. `url_rewrite`: what stands behind `base_url` for an endpoint, where it is
    not the line's url without `/v1`. `rules`: parameters that it does not take as they are. `timeout_s` for one call,
    `silence_s` between two pieces of its answer, None where answers come in one.

    `batch`: its batch API, None where there is none that we speak. `flex`: globs of models with a discounted
    real-time tier, `flex_discount` what it saves. `only_batch`: it has no real-time API. `thinking_apart`: what a model
    thought is in `total_tokens` and not in `completion_tokens`, though it is paid for as output.

    `aggregator`: its models' names carry other vendors' prefixes. `models`: names that nobody but this vendor serves,
    so that they need no prefix. `prices`: its name in genai-prices.

    Headers that tell rate limits need no fact: `domain.rate_headers` reads every dialect by its headers' names.
    """

    name: str
    aliases: tuple[str, ...] = ()
    base_url: str | None = None
    path: str = ""
    domains: tuple[str, ...] = ()
    key_env: tuple[str, ...] = ()
    base_env: str | None = None
    wire: str = "openai"
    auth_header: str = "authorization"
    auth_scheme: str = "Bearer"
    endpoints: tuple[str, ...] | None = None
    url_rewrite: Mapping[str, str] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    timeout_s: float = 600.0
    silence_s: float | None = None
    batch: NativeFacts | None = None
    flex: tuple[str, ...] = ()
    flex_discount: float = 0.5
    only_batch: bool = False
    thinking_apart: bool = False
    aggregator: bool = False
    models: tuple[str, ...] = ()
    prices: str | None = None

    def key_fields(self, api_key: str | None) -> dict[str, str]:
        """The header that carries the key, if there is one."""
        return {self.auth_header: f"{self.auth_scheme} {api_key}".lstrip()} if api_key else {}
