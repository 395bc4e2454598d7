"""Programs that people run themselves. Which endpoints they serve depends on their version, so all are tried; their
models' names are often those of a model hub, with other vendors' prefixes. Ports are the programs' own defaults. They
need no key."""

from __future__ import annotations

from batchrouter.domain.job import NativeFacts
from batchrouter.providers.hosts.host import ALL_ENDPOINTS, Host
from batchrouter.providers.rules import Rule

# They know only `max_tokens`, and pass over in silence what they do not know: an answer then has no end.
_MAX_TOKENS_ONLY = (Rule(rename={"max_completion_tokens": "max_tokens"}),)

SERVERS = (
    Host(  # vLLM "OpenAI-Compatible Server"
        name="vllm", aliases=("hosted_vllm",), base_url="http://127.0.0.1:8000/v1", aggregator=True
    ),
    Host(  # SGLang "OpenAI-Compatible APIs"
        name="sglang", base_url="http://127.0.0.1:30000/v1", aggregator=True
    ),
    Host(  # Ollama "OpenAI compatibility", which lists `max_tokens`
        name="ollama", base_url="http://127.0.0.1:11434/v1", rules=_MAX_TOKENS_ONLY, aggregator=True
    ),
    Host(  # llama.cpp, `tools/server/README.md`
        name="llamacpp",
        aliases=("llama.cpp", "llama_cpp"),
        base_url="http://127.0.0.1:8080/v1",
        aggregator=True,
    ),
    Host(  # LM Studio "OpenAI Compatibility Endpoints", which lists `max_tokens`
        name="lmstudio",
        aliases=("lm-studio", "lm_studio"),
        base_url="http://127.0.0.1:1234/v1",
        rules=_MAX_TOKENS_ONLY,
        aggregator=True,
    ),
    Host(  # This very program: docs/api.md. It takes batches alone, at the price of whoever is behind it.
        name="batchrouter",
        path="/v1",
        only_batch=True,
        batch=NativeFacts(endpoints=ALL_ENDPOINTS, discount=0.0, poll_min_s=5.0),
        aggregator=True,
    ),
)
