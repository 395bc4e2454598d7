"""What a provider's settings come to, together with the facts of its host, and what is refused of them."""

from __future__ import annotations

from typing import Any

import pytest

from batchrouter.config import (
    Config,
    ProviderConfig,
    Seconds,
    flex_of,
    host_of,
    load,
    mode_of,
    native_of,
    parse,
    router_of,
)
from batchrouter.domain.lane_choice import Mode
from batchrouter.domain.line_errors import LineFault
from batchrouter.domain.routing import Resolved, RoutingError
from batchrouter.errors import ConfigError
from batchrouter.providers.hosts import COMPATIBLE, HOSTS

AT = "base_url: 'http://h/v1'"
KEYS = {variable: f"key-of-{host.name}" for host in HOSTS.values() for variable in host.key_env}


def provider(settings: str, key: str = "a", env: dict[str, str] | None = None) -> ProviderConfig:
    return parse(f"providers: {{{key}: {{{settings}}}}}", env or {}, "my.yaml").providers[key]


def config(text: str) -> Config:
    return parse(text, KEYS, "my.yaml")


# --- which host -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", [host for host in HOSTS.values() if host.base_url], ids=lambda host: host.name)
def test_a_host_needs_no_settings(host: Any) -> None:
    """Its name, or an alias, is enough: address and key are found."""
    for name in (host.name, *host.aliases):
        found = parse(f'providers: {{"{name}": {{}}}}', KEYS, "x").providers[name]
        assert host_of(found) is host
        assert found.base_url == host.base_url
        assert found.api_key == (f"key-of-{host.name}" if host.key_env else None)
        typed = parse(f'providers: {{mine: {{type: "{name}"}}}}', KEYS, "x").providers["mine"]
        assert host_of(typed) is host


@pytest.mark.parametrize(
    ("env", "names"),
    [
        ({"ANTHROPIC_API_KEY": "k", "MISTRAL_API_KEY": "k", "XAI_API_KEY": ""}, {"anthropic", "mistral"}),
        (
            {"DEEPSEEK_API_KEY": "k", "DASHSCOPE_API_KEY": "k", "MOONSHOT_API_KEY": "k"},
            {"deepseek", "dashscope", "moonshot"},
        ),
        ({"TOGETHER_API_KEY": "k", "ZAI_API_KEY": "k"}, {"together", "zhipu"}),
        ({"AZURE_OPENAI_API_KEY": "k"}, set()),
        ({"AZURE_OPENAI_API_KEY": "k", "AZURE_OPENAI_ENDPOINT": "https://r.openai.azure.com/"}, {"azure"}),
        ({"OPENAI_BASE_URL": "http://127.0.0.1:8000/v1"}, {"openai"}),
    ],
)
def test_the_environment_makes_providers(env: dict[str, str], names: set[str]) -> None:
    """Each by its usual variable; one that has no address of its own by that one."""
    assert set(load(None, env).providers) == names


def test_an_address_without_a_path_is_completed() -> None:
    """Azure's and Anthropic's variables hold none."""
    env = {"AZURE_OPENAI_API_KEY": "k", "AZURE_OPENAI_ENDPOINT": "https://r.openai.azure.com/"}
    assert load(None, env).providers["azure"].base_url == "https://r.openai.azure.com/openai/v1"
    env = {"ANTHROPIC_API_KEY": "k", "ANTHROPIC_BASE_URL": "http://127.0.0.1:9"}
    assert load(None, env).providers["anthropic"].base_url == "http://127.0.0.1:9/v1"
    assert provider("type: anthropic, base_url: 'http://h/x/v1'").base_url == "http://h/x/v1"
    assert provider("base_url: 'http://h'").base_url == "http://h", "of others nothing is known"


def test_the_environment_s_key_goes_to_the_vendor_alone() -> None:
    """An address that the file names may be somebody else's; the vendor's other regions are not."""
    env = {"OPENAI_API_KEY": "sk-1", "DASHSCOPE_API_KEY": "ds-1"}
    assert provider("base_url: 'http://gpu-1:8000/v1'", "openai", env).api_key is None
    assert provider("base_url: 'https://eu.api.openai.com/v1'", "openai", env).api_key == "sk-1"
    assert provider("base_url: 'https://dashscope.aliyuncs.com/compatible-mode/v1'", "dashscope", env).api_key == "ds-1"
    moved = load(None, {**env, "OPENAI_BASE_URL": "http://gpu-1:8000/v1"}).providers["openai"]
    assert (moved.api_key, host_of(moved)) == ("sk-1", COMPATIBLE)


# --- keys -----------------------------------------------------------------------------------------------------------


def test_several_keys_are_a_pool() -> None:
    """In their order, named by number."""
    found = provider(f"{AT}, api_keys: [one, two], rpm: 60, headers: {{x: y}}")
    assert [(key.name, key.api_key, key.base_url, key.rpm, key.headers) for key in found.keys] == [
        ("1", "one", "http://h/v1", 60, {"x": "y"}),
        ("2", "two", "http://h/v1", 60, {"x": "y"}),
    ]
    assert found.api_key == "one"
    assert [key.name for key in provider(AT).keys] == [""]


def test_a_key_says_what_is_different_of_it() -> None:
    """The rest is as the provider says it."""
    found = provider(
        f"{AT}, api_key: shared, rpm: 10, headers: {{a: '1', b: '2'}}, "
        "keys: [{name: eu, base_url: 'http://eu/v1', rpm: 5, headers: {b: '3'}}, {api_key: own, batch: false}]"
    )
    eu, other = found.keys
    assert (eu.name, eu.api_key, eu.base_url, eu.rpm, eu.headers) == (
        "eu",
        "shared",
        "http://eu/v1",
        5,
        {"a": "1", "b": "3"},
    )
    assert (other.name, other.api_key, other.base_url, other.rpm, other.batch) == ("2", "own", "http://h/v1", 10, False)
    azure = parse(
        "providers: {azure: {keys: [{name: s, base_url: 'https://s.openai.azure.com'}, "
        "{name: t, base_url: 'https://t.openai.azure.com/'}]}}",
        KEYS,
        "x",
    ).providers["azure"]
    assert [key.base_url for key in azure.keys] == [f"https://{r}.openai.azure.com/openai/v1" for r in "st"]
    assert {key.api_key for key in azure.keys} == {"key-of-azure"}


# --- lanes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "has"),
    [
        ("type: openai, api_key: k", True),
        (AT, False),
        (f"{AT}, batch: {{enabled: true}}", True),
        (f"{AT}, mode: batch", True),
        (f"{AT}, modes: {{'x*': batch}}", True),
        ("type: anthropic, api_key: k", True),
        (f"type: anthropic, {AT}", False),
        (f"type: anthropic, {AT}, batch: {{enabled: true}}", True),
        ("type: openai, api_key: k, batch: {enabled: false}", False),
        ("type: xai, api_key: k", False),
        ("type: vllm", False),
        (f"type: batchrouter, {AT}", True),
    ],
)
def test_who_has_a_batch_api(settings: str, has: bool) -> None:
    """The vendor at its own address; elsewhere only who the configuration says has one."""
    assert (native_of(provider(settings)) is not None) is has


def test_the_configuration_s_numbers_replace_the_host_s() -> None:
    """Each by itself."""
    row = HOSTS["openai"].batch
    assert native_of(provider("type: openai, api_key: k")) == row
    found = native_of(
        provider(
            "type: openai, api_key: k, batch: {max_requests: 10, max_bytes: 2048, enqueued_tokens: 90000, window: 48h, "
            "discount: 0, poll_min: 1s, poll_max: 2m, endpoints: [/v1/embeddings]}"
        )
    )
    assert found is not None
    assert (found.max_requests, found.max_bytes, found.enqueued_tokens, found.windows_s) == (
        10,
        2048,
        90_000,
        (172_800,),
    )
    assert (found.discount, found.poll_min_s, found.poll_max_s, found.endpoints) == (
        0.0,
        1.0,
        120.0,
        ("/v1/embeddings",),
    )
    slow = native_of(provider("type: openai, api_key: k, batch: {poll_min: 10m}"))
    assert slow is not None
    assert slow.poll_max_s == 600.0


def test_the_nearest_wish_holds() -> None:
    """The model's, the provider's, everybody's."""
    found = provider("type: openai, api_key: k, mode: batch, modes: {'gpt-4*': realtime, '*': auto}")
    assert mode_of(found, "gpt-4.1", Mode.BATCH) is Mode.REALTIME
    assert mode_of(found, "o3", Mode.REALTIME) is Mode.AUTO
    assert mode_of(provider("type: openai, api_key: k, mode: batch"), "o3", Mode.REALTIME) is Mode.BATCH
    assert mode_of(provider("type: openai, api_key: k"), "o3", Mode.REALTIME) is Mode.REALTIME
    assert mode_of(provider(f"type: batchrouter, {AT}"), "m", Mode.REALTIME) is Mode.BATCH


def test_flex_is_for_models_that_have_it() -> None:
    """And for whoever wishes it, where nothing is known of the host."""
    found = provider("type: openai, api_key: k, service_tier: flex")
    assert flex_of(found, "o3")
    assert not flex_of(found, "gpt-4.1")
    assert not flex_of(provider("type: openai, api_key: k"), "o3")
    assert flex_of(provider(f"{AT}, service_tier: flex"), "anything")


def test_lengths_of_time_are_written_in_two_ways() -> None:
    """Seconds as a number, or with a unit."""
    assert provider(f"{AT}, timeout: 15m").timeout == 900
    assert provider(f"{AT}, timeout: 1.5").timeout == 1.5
    assert isinstance(config("batches: {cancel_wait: 10m}").batches.cancel_wait, Seconds)


# --- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("type: opnai, base_url: 'http://h'", "type 'opnai' is not known; did you mean 'openai'"),
        ("type: azure", "needs a base_url, such as .* or the variable AZURE_OPENAI_ENDPOINT"),
        ("type: openai", "providers.a has no key; give it an api_key or set the variable OPENAI_API_KEY"),
        ("type: anthropic, headers: {x-other: k}", "no key"),
        (f"{AT}, api_key: one, api_keys: [two]", "providers.a: api_keys stands for itself; leave out api_key"),
        (f"{AT}, api_keys: [two], keys: [{{}}]", "leave out keys"),
        (f"{AT}, keys: [{{name: x}}, {{name: x}}]", "providers.a.keys: the name 'x' stands there twice"),
        (f"{AT}, keys: [{{nam: x}}]", r"unknown setting 'providers.a.keys\[0\].nam'; did you mean 'name'"),
        (f"{AT}, keys: [{{}}, {{rpm: 0}}]", r"providers.a.keys\[1\].rpm is 0"),
        (f"{AT}, keys: [{{base_url: ftp://x}}]", r"providers.a.keys\[0\].base_url must be http"),
        (f"{AT}, keys: [{{api_key: 'ä'}}]", r"providers.a.keys\[0\].api_key has"),
        (f"{AT}, headers: {{'a b': c}}", "header 'a b'"),
        (f'{AT}, headers: {{a: "x\\ny"}}', "header 'a'"),
        (f"{AT}, mode: fast", "providers.a.mode: invalid enum value 'fast'"),
        (f"{AT}, modes: {{'x*': fast}}", r"providers.a.modes\[...\]: invalid enum value"),
        (f"{AT}, service_tier: priority", "providers.a.service_tier: invalid enum value"),
        (f"{AT}, unsupported: ignore", "providers.a.unsupported: invalid enum value"),
        (f"{AT}, rpm: many", "providers.a.rpm: expected `int"),
        (f"{AT}, timeout: soon", "providers.a.timeout: expected a number of seconds"),
        (f"{AT}, timeout: true", "providers.a.timeout: expected a number of seconds"),
        (f"{AT}, max_tokens: 0", "providers.a.max_tokens is 0"),
        (f"{AT}, batch: {{enabeld: true}}", "'providers.a.batch.enabeld'; did you mean 'enabled'"),
        (f"{AT}, batch: {{min_requests: 0}}", "providers.a.batch.min_requests is 0"),
        (f"{AT}, batch: {{discount: 1.5}}", "providers.a.batch.discount is 1.5"),
        (f"{AT}, batch: {{enqueued_tokens: 0}}", "providers.a.batch.enqueued_tokens is 0"),
        (f"{AT}, batch: {{max_bytes: 1}}", "providers.a.batch.max_bytes is 1"),
        (f"{AT}, batch: {{window: 0}}", "providers.a.batch.window is 0"),
        (f"{AT}, batch: {{poll_min: 2m, poll_max: 1m}}", "poll_min is longer than poll_max"),
        (f"{AT}, batch: {{endpoints: [x]}}", "providers.a.batch.endpoints: 'x' must begin with /"),
        ("type: xai, api_key: k, mode: batch", "providers.a.mode is batch, but no batch API of xai is known here"),
        ("type: vllm, modes: {'*': batch}", r"providers.a.modes.\* is batch, but no batch API of vllm"),
        ("type: xai, api_key: k, batch: {enabled: true}", "batch.enabled is true, but no batch API of xai"),
        (f"{AT}, mode: batch, batch: {{enabled: false}}", "mode is batch, but batch.enabled is false"),
        ("type: openai, keys: [{api_key: k, batch: false}]", "providers.a.keys: none may run batches"),
        (f"type: batchrouter, {AT}, mode: realtime", "takes nothing but batches"),
        ("type: xai, api_key: k, service_tier: flex", "xai has no discounted tier that is known here"),
        (f"{AT}, prices: {{'*': {{input: 1}}}}", r"providers.a.prices\[...\]: object missing required field `output`"),
        (f"{AT}, prices: {{'*': {{input: -1, output: 1}}}}", r"providers.a.prices.\*.input is -1"),
        (f"{AT}, prices: {{'*': {{input: .nan, output: 1}}}}", r"providers.a.prices.\*.input is nan"),
        (f"{AT}, prices: {{'*': {{inptu: 1}}}}", r"'providers.a.prices.\*.inptu'; did you mean 'input'"),
        (f"{AT}, prices: {{'*': {{input: 1, output: 1, batch_discount: 2}}}}", "batch_discount is 2"),
    ],
)
def test_what_can_never_work_is_said(settings: str, words: str) -> None:
    """By file and key, before the first line needs it."""
    with pytest.raises(ConfigError, match=words) as told:
        provider(settings)
    assert str(told.value).startswith("my.yaml: ")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("providers: [a]", "providers must be a mapping"),
        ("providers: {a: 7}", "my.yaml: providers.a: expected `object`"),
        ("batches: {mode: cheap}", "batches.mode: invalid enum value"),
        ("batches: {max_cost: -1}", "batches.max_cost is -1"),
        ("batches: {overtake_margin: -1}", "batches.overtake_margin is -1"),
        ("batches: {cancel_wait: 2d}", "batches.cancel_wait is 172800"),
        ("batches: {pause_after_failures: -1}", "batches.pause_after_failures is -1"),
    ],
)
def test_wrong_values_elsewhere_are_said(text: str, words: str) -> None:
    """Where they stand."""
    with pytest.raises(ConfigError, match=words):
        config(text)


# --- routes ---------------------------------------------------------------------------------------------------------

TWO = f"providers: {{anthropic: {{}}, openai: {{}}, local: {{{AT}}}}}\n"
SONNET = Resolved("anthropic", "claude-sonnet-4-5", True)


@pytest.mark.parametrize(
    ("field", "model"),
    [
        ("", "claude-4.5-sonnet"),
        ("", "claude-sonnet-4.5"),
        ("", "anthropic/claude-4.5-sonnet"),
        ("", "anthropic/claude-sonnet-4.5"),
        ("", "anthropic/claude-sonnet-4-5"),
        ("anthropic", "claude-4.5-sonnet"),
        ("anthropic", "anthropic/claude-4.5-sonnet"),
        ("", "sonnet"),
    ],
)
def test_all_names_of_a_model_find_it(field: str, model: str) -> None:
    """With nothing configured but the provider; an alias too."""
    found = router_of(config(TWO + "models: {sonnet: claude-4.5-sonnet}")).resolve(field, model)
    assert found == SONNET


def test_anthropic_s_own_name_is_not_rewritten() -> None:
    """The body's bytes can stay."""
    assert router_of(config(TWO)).resolve("", "claude-sonnet-4-5") == SONNET._replace(rewritten=False)


def test_an_aggregator_keeps_its_own_names() -> None:
    """OpenRouter's are slugs, whoever's model it is."""
    router = router_of(config("providers: {openrouter: {}, anthropic: {}}"))
    name = "anthropic/claude-sonnet-4.5"
    assert router.resolve("openrouter", name) == Resolved("openrouter", name, False)
    assert router.resolve("", f"openrouter/{name}") == Resolved("openrouter", name, True)
    assert router.resolve("", name) == Resolved("anthropic", "claude-sonnet-4-5", True)


def test_a_vendor_s_own_name_goes_before_the_default() -> None:
    """If exactly one provider is of that vendor; a name that anybody may serve goes to the default."""
    router = router_of(config(TWO + "default_provider: local"))
    assert router.resolve("", "gpt-4.1") == Resolved("openai", "gpt-4.1", False)
    assert router.resolve("", "gpt-oss-20b") == Resolved("local", "gpt-oss-20b", False)
    assert router.resolve("", "claude-opus-5").provider == "anthropic"  # type: ignore[union-attr]
    two = router_of(config(f"providers: {{a: {{type: anthropic}}, b: {{type: anthropic}}, local: {{{AT}}}}}"))
    assert two.resolve("", "claude-opus-5") == RoutingError(LineFault.MODEL_NOT_FOUND)
    named = router_of(config("providers: {anthropic: {}, eu: {type: anthropic}}"))
    assert named.resolve("", "claude-opus-5") == Resolved("anthropic", "claude-opus-5", False)
    mine = router_of(config(f"providers: {{work: {{type: openai}}, local: {{{AT}}}}}"))
    assert mine.resolve("", "openai/gpt-4.1") == Resolved("work", "gpt-4.1", True)


def test_a_provider_with_a_host_s_name_is_found_by_the_names_that_others_give_it() -> None:
    """Whoever is there."""
    router = router_of(config(f"providers: {{gemini: {{type: openai, {AT}}}, local: {{{AT}}}}}"))
    assert router.resolve("", "google/gemini-x") == Resolved("gemini", "gemini-x", True)


def test_fallbacks_are_found_by_every_name_of_a_model() -> None:
    """Each in its own spelling, in order; those of a fallback are not followed."""
    router = router_of(
        config(TWO + "fallbacks: {anthropic/claude-sonnet-4.5: [gpt-4.1, local/qwen], gpt-4.1: [local/llama]}")
    )
    expected = (Resolved("openai", "gpt-4.1", True), Resolved("local", "qwen", True))
    for field, model in (("", "claude-4.5-sonnet"), ("anthropic", "claude-sonnet-4-5"), ("", "claude-sonnet-4-5")):
        assert router.fallbacks(field, model) == expected
    assert router.fallbacks("", "gpt-4.1") == (Resolved("local", "llama", True),)
    assert router.fallbacks("", "claude-opus-5") == ()
    assert router.fallbacks("nobody", "gpt-4.1") == ()


@pytest.mark.parametrize(
    ("fallbacks", "words"),
    [
        ("{gpt-4.1: []}", "fallbacks.gpt-4.1 is empty"),
        ("{gpt-4.1: [nowhere]}", "fallbacks.gpt-4.1: no provider serves 'nowhere'"),
        ("{nowhere: [gpt-4.1]}", "fallbacks.nowhere: no provider serves 'nowhere'"),
        ("{gpt-4.1: [openai/gpt-4.1]}", "fallbacks lead in a circle: gpt-4.1 → gpt-4.1"),
        (
            "{gpt-4.1: [o3], o3: [claude-opus-5], claude-opus-5: [gpt-4.1]}",
            "circle: gpt-4.1 → o3 → claude-opus-5 → gpt-4.1",
        ),
        ("{gpt-4.1: [o3, openai/o3]}", "fallbacks.gpt-4.1 names a model twice"),
        ("{claude-4.5-sonnet: [o3], claude-sonnet-4-5: [o3]}", "the same model as 'claude-4.5-sonnet'"),
    ],
)
def test_fallbacks_that_lead_nowhere_are_refused(fallbacks: str, words: str) -> None:
    """Or back to where they came from, or twice to the same."""
    with pytest.raises(ConfigError, match=words):
        config(TWO + f"fallbacks: {fallbacks}")
