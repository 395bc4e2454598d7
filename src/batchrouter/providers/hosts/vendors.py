"""Companies' APIs. Beside each fact stands the document that it is from; `unchecked` marks what nobody has verified.

Batch APIs: `NativeFacts`; where a comment names no source, the fact is from the vendor's page on its batch API.
"""

from __future__ import annotations

from batchrouter.domain.job import NativeFacts
from batchrouter.providers.hosts.host import (
    COMPLETIONS,
    EMBEDDINGS,
    IMAGE_EDITS,
    IMAGES,
    MESSAGES,
    MODERATIONS,
    RESPONSES,
    Host,
)
from batchrouter.providers.rules import CHAT, Rule

MB = 1_000_000
HOUR_S = 3600
DAY_S = 24 * HOUR_S

# Reasoning models take sampling parameters only without reasoning (OpenAI "Using GPT-5.2": compatibility of
# parameters; litellm 1.106.2, `gpt_5_transformation.py` and `default_reasoning_effort` of its model table).
_SAMPLING = ("temperature", "top_p", "presence_penalty", "frequency_penalty")
_O_SERIES = ("o1", "o1-*", "o3", "o3-*", "o4-*")
_GPT_5 = ("gpt-5", "gpt-5-*")
_CHAT_MODELS = ("gpt-5-chat*", "gpt-5*-chat-*")
_NONE_BY_DEFAULT = tuple(f"gpt-5.{minor}{more}" for minor in (1, 2, 3, 4) for more in ("", "-*"))
_NONE_ON_DEMAND = ("gpt-5.[5-9]*", "gpt-6*")
REASONING = (
    # OpenAI API reference: `max_tokens` is "not compatible with o-series models"; the later ones answer the same 400.
    Rule(models=(*_O_SERIES, "gpt-5*", "gpt-6*"), apart=_CHAT_MODELS, rename={"max_tokens": "max_completion_tokens"}),
    # Azure "Reasoning models": parameters that are not supported.
    Rule(
        models=(*_O_SERIES, *_GPT_5),
        apart=_CHAT_MODELS,
        drop=_SAMPLING,
        forbid=("logprobs", "top_logprobs", "logit_bias"),
    ),
    Rule(models=(*_O_SERIES, *_GPT_5), apart=_CHAT_MODELS, endpoints=(RESPONSES,), drop=("temperature", "top_p")),
    Rule(models=_NONE_BY_DEFAULT, apart=_CHAT_MODELS, drop=_SAMPLING, not_at_effort=("none", "")),
    Rule(models=_NONE_ON_DEMAND, apart=_CHAT_MODELS, drop=_SAMPLING, not_at_effort=("none",)),
    Rule(
        models=_NONE_BY_DEFAULT,
        apart=_CHAT_MODELS,
        endpoints=(RESPONSES,),
        drop=("temperature", "top_p"),
        not_at_effort=("none", ""),
    ),
    Rule(
        models=_NONE_ON_DEMAND,
        apart=_CHAT_MODELS,
        endpoints=(RESPONSES,),
        drop=("temperature", "top_p"),
        not_at_effort=("none",),
    ),
)
_MAX_TOKENS_ONLY = {"max_completion_tokens": "max_tokens"}

OPENAI = Host(
    name="openai",
    base_url="https://api.openai.com/v1",
    domains=("api.openai.com",),  # eu.api.openai.com and us.api.openai.com too
    key_env=("OPENAI_API_KEY",),  # openai-python 3.52.0
    base_env="OPENAI_BASE_URL",
    endpoints=(CHAT, RESPONSES, EMBEDDINGS, COMPLETIONS, MODERATIONS, IMAGES, IMAGE_EDITS),  # openapi.yaml 2.3.0
    rules=REASONING,
    # genai-prices 0.2.3, which cites OpenAI's pricing page: the models with a price for `service_tier: flex`.
    flex=(
        "o3",
        "o3-2025-*",
        "o4-mini",
        "o4-mini-2025-*",
        *(f"gpt-5{size}{date}" for size in ("", "-mini", "-nano") for date in ("", "-2025-*")),
        *(f"gpt-5.{minor}{date}" for minor in (1, 2, 4, 5) for date in ("", "-202*")),
        "gpt-5.4-mini*",
        "gpt-5.4-nano*",
        "gpt-5.4-pro*",
        "gpt-5.5-pro*",
        "gpt-5.6-luna*",
        "gpt-5.6-sol*",
        "gpt-5.6-terra*",
        "gpt-6-astra*",
        "gpt-6-luna*",
        "gpt-6-sol*",
        "gpt-6.1-sol*",
        "gpt-6.1-terra*",
    ),
    # OpenAI "Batch API": endpoints, 50,000 requests, 200 MB, 24h, half price. Enqueued tokens depend on model and
    # tier, so the configuration says them. Videos and images/edits take no JSON body that a line could have.
    batch=NativeFacts(endpoints=(RESPONSES, CHAT, EMBEDDINGS, COMPLETIONS, MODERATIONS, IMAGES), max_bytes=200 * MB),
    models=(
        "gpt-[0-9]*",  # not gpt-oss, which anybody may serve
        "chatgpt-*",
        "o[0-9]",
        "o[0-9]-*",
        "text-embedding-3-*",
        "text-embedding-ada-*",
        "omni-moderation-*",
        "gpt-image-*",
        "dall-e-*",
    ),
    prices="openai",
)

AZURE = Host(
    name="azure",
    aliases=("azure-openai", "azure_openai"),
    path="/openai/v1",  # Azure "API version lifecycle": the v1 API, which needs no api-version
    domains=("openai.azure.com", "cognitiveservices.azure.com", "services.ai.azure.com"),
    key_env=("AZURE_OPENAI_API_KEY",),  # openai-python 3.52.0, `lib/azure.py`
    base_env="AZURE_OPENAI_ENDPOINT",
    auth_header="api-key",  # Azure "REST API reference": authentication
    auth_scheme="",
    endpoints=(CHAT, RESPONSES, EMBEDDINGS, COMPLETIONS, IMAGES),  # v1 specification; completions unchecked
    rules=REASONING,  # by the deployment's name, as long as it begins like its model's
    flex=("*",),  # Azure "Flex processing" (preview); deployments have names of their own
    batch=NativeFacts(
        endpoints=(CHAT, RESPONSES, EMBEDDINGS),  # embeddings unchecked
        url_rewrite={CHAT: "/chat/completions"},
        max_requests=100_000,
        max_bytes=200 * MB,
    ),
    models=OPENAI.models,
    prices="azure",
)

GEMINI = Host(
    name="gemini",
    aliases=("google", "google-ai-studio"),
    base_url="https://generativelanguage.googleapis.com/v1beta/openai",  # Gemini "OpenAI compatibility"
    domains=("generativelanguage.googleapis.com",),
    key_env=("GEMINI_API_KEY", "GOOGLE_API_KEY"),  # google-genai 3.4.0
    endpoints=(CHAT, EMBEDDINGS, IMAGES),  # the same page
    # No flex: "Flex inference" tells of `service_tier` in Google's own API alone.
    batch=NativeFacts(
        files="gemini",  # "OpenAI compatibility": files go through the Gemini Files API
        endpoints=(CHAT, EMBEDDINGS),
        max_bytes=2000 * MB,
        max_jobs=100,
        poll_min_s=15.0,
    ),
    thinking_apart=True,  # seen in usages that people posted (Google AI developers' forum, August 2025)
    models=("gemini-*", "models/gemini-*"),
    prices="google",
)

ANTHROPIC = Host(
    name="anthropic",
    base_url="https://api.anthropic.com/v1",
    path="/v1",
    domains=("api.anthropic.com",),
    key_env=("ANTHROPIC_API_KEY",),  # anthropic-python 2.11.0
    base_env="ANTHROPIC_BASE_URL",
    wire="anthropic",
    auth_header="x-api-key",
    auth_scheme="",
    endpoints=(CHAT, RESPONSES, MESSAGES),  # the first two translated
    # Long answers are streamed, with pings in between; others are never silent for longer than anthropic-python 2.11.0
    # waits for them (`DEFAULT_TIMEOUT`).
    timeout_s=3600.0,
    silence_s=600.0,
    batch=NativeFacts(
        dialect="anthropic",
        endpoints=(CHAT, RESPONSES, MESSAGES),
        max_requests=100_000,
        max_bytes=256 * MB,
        poll_min_s=30.0,  # polls count against requests a minute; the vendor's sample asks every 60 s
        poll_max_s=120.0,
    ),
    models=("claude-*",),
    prices="anthropic",
)

GROQ = Host(
    name="groq",
    base_url="https://api.groq.com/openai/v1",  # Groq "OpenAI Compatibility"
    domains=("api.groq.com",),
    key_env=("GROQ_API_KEY",),  # groq-python 1.7.0
    endpoints=(CHAT, RESPONSES),
    # The same page, "Currently Unsupported OpenAI Features": each of these is a 400.
    rules=(Rule(forbid=("logprobs", "top_logprobs", "logit_bias", "n")),),
    # No flex: its tier of that name has the ordinary price ("Flex Processing").
    batch=NativeFacts(
        endpoints=(CHAT,),
        windows_s=tuple(day * DAY_S for day in range(1, 8)),  # 24h to 7d
        max_requests=50_000,  # unchecked
        max_bytes=100 * MB,  # groq-python 1.7.0
    ),
    aggregator=True,
    prices="groq",
)

MISTRAL = Host(
    name="mistral",
    aliases=("mistralai",),
    base_url="https://api.mistral.ai/v1",
    domains=("api.mistral.ai",),
    key_env=("MISTRAL_API_KEY",),  # mistralai 3.7.0
    endpoints=(CHAT, EMBEDDINGS, MODERATIONS),
    # mistralai 3.7.0, `ChatCompletionRequest` and `EmbeddingRequest`; members that they do not have are a 422.
    rules=(
        Rule(
            rename={**_MAX_TOKENS_ONLY, "seed": "random_seed"},
            drop=(
                "user",
                "safety_identifier",
                "store",
                "stream_options",
                "verbosity",
                "prompt_cache_retention",
            ),
            forbid=("logit_bias", "functions", "function_call", "audio", "modalities", "web_search_options"),
        ),
        Rule(endpoints=(EMBEDDINGS,), rename={"dimensions": "output_dimension"}, drop=("user",)),
    ),
    batch=NativeFacts(
        dialect="mistral",
        endpoints=(CHAT, EMBEDDINGS, MODERATIONS),
        windows_s=tuple(day * DAY_S for day in range(1, 8)),  # timeout_hours; its most, 168, unchecked
        max_requests=100_000,
        max_bytes=512 * MB,
    ),
    models=("mistral-*-latest", "codestral-latest", "ministral-*-latest", "magistral-*-latest", "pixtral-*-latest"),
    prices="mistral",
)

TOGETHER = Host(
    name="together",
    aliases=("together_ai", "togetherai"),
    base_url="https://api.together.xyz/v1",
    domains=("api.together.xyz", "api.together.ai"),
    key_env=("TOGETHER_API_KEY",),  # together-python 3.1.1
    endpoints=(CHAT, COMPLETIONS, EMBEDDINGS, IMAGES),
    # Together "Create chat completion": only `max_tokens`; temperature "from 0-1".
    rules=(Rule(rename=_MAX_TOKENS_ONLY, clamp={"temperature": (0, 1)}),),
    batch=NativeFacts(  # together-python 3.1.1
        files="together",
        purpose="batch-api",
        unwrap="job",
        endpoints=(CHAT,),
        max_requests=50_000,
        max_bytes=100 * MB,
        enqueued_tokens=30_000_000_000,
        statuses={
            "VALIDATING": "running",
            "IN_PROGRESS": "running",
            "COMPLETED": "ended",
            "FAILED": "ended",
            "EXPIRED": "ended",
            "CANCELLED": "ended",
        },
    ),
    aggregator=True,
    prices="together",
)

DEEPSEEK = Host(
    name="deepseek",
    aliases=("deepseek-ai",),
    base_url="https://api.deepseek.com/v1",  # DeepSeek "Your First API Call"
    domains=("api.deepseek.com",),
    key_env=("DEEPSEEK_API_KEY",),
    endpoints=(CHAT,),
    rules=(Rule(rename=_MAX_TOKENS_ONLY),),  # DeepSeek "Create Chat Completion"
    models=("deepseek-chat", "deepseek-reasoner"),  # its weights have other names
    prices="deepseek",
)

XAI = Host(
    name="xai",
    aliases=("x-ai",),
    base_url="https://api.x.ai/v1",
    domains=("api.x.ai",),
    key_env=("XAI_API_KEY",),  # xai-sdk 1.21.0
    endpoints=(CHAT, RESPONSES, COMPLETIONS, EMBEDDINGS, IMAGES),  # completions, embeddings unchecked
    rules=(
        # xAI "Reasoning": these are errors with reasoning models; litellm 1.106.2, `xai/chat/transformation.py`.
        Rule(models=("grok-4*", "grok-code*"), drop=("presence_penalty", "frequency_penalty"), forbid=("stop",)),
        Rule(models=("grok-3-mini*",), forbid=("stop",)),
    ),
    # No `batch`: its jobs have no status but counters, no output file but pages of results that can be read before
    # the end, and lines of another shape (`batch_request_id`); none of our dialects speaks that.
    thinking_apart=True,  # litellm 1.106.2, `xai/chat/transformation.py`
    models=("grok-*",),
    prices="x-ai",
)

DASHSCOPE = Host(
    name="dashscope",
    aliases=("qwen", "alibaba"),
    base_url="https://dashscope-intl.aliyuncs.com/compatible-mode/v1",  # Model Studio "OpenAI compatible"
    domains=("dashscope.aliyuncs.com", "dashscope-intl.aliyuncs.com", "dashscope-us.aliyuncs.com"),
    key_env=("DASHSCOPE_API_KEY",),
    endpoints=(CHAT, COMPLETIONS, EMBEDDINGS),
    rules=(Rule(rename=_MAX_TOKENS_ONLY),),
    batch=NativeFacts(
        endpoints=(CHAT, EMBEDDINGS),  # embeddings unchecked
        windows_s=tuple(day * DAY_S for day in range(1, 15)),  # 24h to 336h, unchecked
        max_requests=50_000,
        max_bytes=500 * MB,
    ),
    models=("qwen-max*", "qwen-plus*", "qwen-turbo*", "qwen-flash*"),
)

MOONSHOT = Host(
    name="moonshot",
    aliases=("moonshotai", "kimi"),
    base_url="https://api.moonshot.ai/v1",
    domains=("api.moonshot.ai", "api.moonshot.cn"),
    key_env=("MOONSHOT_API_KEY",),
    endpoints=(CHAT,),
    rules=(
        # Kimi "Chat Completion": temperature between 0 and 1; newer models take none (litellm 1.106.2).
        Rule(apart=("kimi-k2.5*", "kimi-k2.6*"), clamp={"temperature": (0, 1)}),
        Rule(models=("kimi-k2.5*", "kimi-k2.6*"), drop=("temperature", "top_p")),
        Rule(forbid=("functions", "function_call")),
    ),
    batch=NativeFacts(  # Kimi's openapi description
        endpoints=(CHAT,),
        windows_s=(12 * HOUR_S, *(day * DAY_S for day in range(1, 8))),  # 12h to 7d
        discount=0.4,  # half to 60 % of the price, by third parties
    ),
    models=("moonshot-v1-*",),
    prices="moonshotai",
)

ZHIPU = Host(
    name="zhipu",
    aliases=("zai", "z-ai", "zhipuai", "bigmodel"),
    base_url="https://open.bigmodel.cn/api/paas/v4",
    domains=("open.bigmodel.cn", "api.z.ai"),
    key_env=("ZHIPUAI_API_KEY", "ZAI_API_KEY"),  # zhipuai-sdk and zai-sdk, unchecked
    endpoints=(CHAT, EMBEDDINGS, IMAGES),
    rules=(Rule(rename=_MAX_TOKENS_ONLY, clamp={"temperature": (0, 1)}),),  # "Chat completions"; range unchecked
    batch=NativeFacts(
        endpoints=(CHAT, EMBEDDINGS),
        url_rewrite={CHAT: "/v4/chat/completions", EMBEDDINGS: "/v4/embeddings"},
        max_requests=10_000,  # 50,000 for chat, 10,000 for embeddings
        max_bytes=100 * MB,
    ),
    prices="zhipuai",
)

SILICONFLOW = Host(
    name="siliconflow",
    base_url="https://api.siliconflow.com/v1",
    domains=("api.siliconflow.com", "api.siliconflow.cn"),
    key_env=("SILICONFLOW_API_KEY",),
    endpoints=(CHAT, EMBEDDINGS, IMAGES),
    rules=(Rule(rename=_MAX_TOKENS_ONLY),),  # "Create chat completion", unchecked
    batch=NativeFacts(endpoints=(CHAT,), max_requests=5_000, max_bytes=1000 * MB),
    aggregator=True,
)

FIREWORKS = Host(
    name="fireworks",
    aliases=("fireworks_ai", "fireworks-ai"),
    base_url="https://api.fireworks.ai/inference/v1",
    domains=("api.fireworks.ai",),
    key_env=("FIREWORKS_API_KEY",),
    endpoints=(CHAT, RESPONSES, COMPLETIONS, EMBEDDINGS),
    # No `batch`: datasets and `batchInferenceJobs` of an account, which is no OpenAI shape.
    aggregator=True,
    prices="fireworks",
)

OPENROUTER = Host(
    name="openrouter",
    base_url="https://openrouter.ai/api/v1",
    domains=("openrouter.ai",),
    key_env=("OPENROUTER_API_KEY",),
    endpoints=(CHAT, RESPONSES, COMPLETIONS, EMBEDDINGS, MESSAGES),  # "API reference"
    # No rules: it leaves out itself what a model does not take ("Parameters"). No `batch`: its batches are made of
    # inline requests, 5,000 at most, with one model and one provider ("Batch API").
    aggregator=True,
    prices="openrouter",
)

VENDORS = (
    OPENAI,
    AZURE,
    GEMINI,
    ANTHROPIC,
    GROQ,
    MISTRAL,
    TOGETHER,
    DEEPSEEK,
    XAI,
    DASHSCOPE,
    MOONSHOT,
    ZHIPU,
    SILICONFLOW,
    FIREWORKS,
    OPENROUTER,
)
