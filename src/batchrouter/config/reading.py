"""A configuration from a file or from the environment. Messages name the file and the key, and never a secret."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import msgspec
import yaml

from batchrouter.config.bounds import near
from batchrouter.config.checking import checked
from batchrouter.config.secrets import masked, secrets_in
from batchrouter.config.settings import Config, ProviderConfig, StorageConfig
from batchrouter.config.storage import with_environment
from batchrouter.config.windows import Seconds, seconds_of
from batchrouter.errors import ConfigError
from batchrouter.providers.hosts import HOSTS

CONFIG_NAMES = ("batchrouter.yaml", "batchrouter.yml")
_T = TypeVar("_T")


def load(path: Path | None, env: Mapping[str, str], folder: Path | None = None) -> Config:
    """The configuration from `path`, else from a `batchrouter.yaml` in `folder`, else from the environment alone.

    Raises `ConfigError`, whose message names the file and the key.
    """
    if path is None and folder is not None:
        path = next((folder / name for name in CONFIG_NAMES if (folder / name).is_file()), None)
    if path is None:
        name = "the environment"
        storage = _converted(with_environment({}, env), StorageConfig, name, "storage.")
        return checked(Config(storage=storage, providers=_from_environment(env)), name, env)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    return parse(text, env, str(path))


def parse(text: str, env: Mapping[str, str], name: str) -> Config:
    """The configuration in a YAML text; `name` is what messages call it."""
    data = _yaml(text, name)
    secrets: set[str] = set()
    try:
        secrets |= secrets_in(data)
        return _read(data, env, name, secrets)
    except ConfigError as error:
        # Not chained: what it came from may tell what its words no longer do.
        raise ConfigError(masked(str(error), secrets)) from None
    except RecursionError:
        raise ConfigError(f"{name} holds itself, or is nested too deeply") from None


class _Loader(yaml.SafeLoader):
    """YAML in which no setting stands twice: the plain loader would forget the first one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(None, None, "a setting stands there twice", key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def _yaml(text: str, name: str) -> dict[Any, Any]:
    try:
        data = yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        # Only what is wrong and where: the whole message quotes the line, and there stands a key as often as not.
        mark = error.problem_mark or error.context_mark
        where = "" if mark is None else f" in line {mark.line + 1}, column {mark.column + 1}"
        raise ConfigError(f"{name} is not YAML{where}: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{name} is not YAML: {type(error).__name__}") from None
    except (ValueError, RecursionError) as error:  # a date that is none; a mapping in itself
        raise ConfigError(f"{name} is not YAML that can be read: {error}") from None
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise ConfigError(f"{name} must be a mapping of settings")
    return data


def _read(data: dict[Any, Any], env: Mapping[str, str], name: str, secrets: set[str]) -> Config:
    """`secrets` grows by what the environment told."""
    _refuse_unknown(data, Config, name, "")
    data = _expand(data, env, name, secrets)
    if storage := with_environment(data.get("storage"), env):
        data["storage"] = storage
        secrets |= secrets_in({"storage": storage})
    providers = data.pop("providers", None) or {}
    if not isinstance(providers, dict):
        raise ConfigError(f"{name}: providers must be a mapping from a name to settings")
    config = _converted(data, Config, name, "")
    # One by one, because msgspec does not tell the key of a mapping in which a value is wrong.
    config = msgspec.structs.replace(
        config,
        providers={
            str(key): _converted(each or {}, ProviderConfig, name, f"providers.{key}.")
            for key, each in providers.items()
        },
    )
    if not config.providers:
        config = msgspec.structs.replace(config, providers=_from_environment(env))
    return checked(config, name, env)


def _from_environment(env: Mapping[str, str]) -> dict[str, ProviderConfig]:
    """The hosts whose usual variables are set. One without an address of its own needs that variable too."""
    found = {}
    for host in HOSTS.values():
        moved = bool(host.base_env and env.get(host.base_env))
        if moved or (host.base_url is not None and any(env.get(variable) for variable in host.key_env)):
            found[host.name] = ProviderConfig()
    return found


def _converted(data: Any, struct: type[_T], name: str, path: str) -> _T:
    try:
        return msgspec.convert(data, struct, dec_hook=_hook)
    except msgspec.ValidationError as error:
        words, _, place = str(error).partition(" - at `$")
        place = place.rstrip("`").removeprefix(".")
        where = (path + place).rstrip(".") or "settings"
        raise ConfigError(f"{name}: {where}: {words[:1].lower()}{words[1:]}") from None


def _hook(wanted: type, value: object) -> object:
    if wanted is Seconds:
        return seconds_of(value)
    raise NotImplementedError(wanted)


_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}|^(?:os\.environ/|env\.)([A-Za-z_][A-Za-z0-9_]*)$")


def _expand(value: Any, env: Mapping[str, str], name: str, secrets: set[str]) -> Any:
    if isinstance(value, dict):
        return {key: _expand(each, env, name, secrets) for key, each in value.items()}
    if isinstance(value, list):
        return [_expand(each, env, name, secrets) for each in value]
    if not isinstance(value, str):
        return value

    def found(match: re.Match[str]) -> str:
        variable = match[1] or match[2]
        if variable not in env:
            raise ConfigError(f"{name}: the environment has no variable {variable}")
        secrets.add(env[variable])
        return env[variable]

    return _VARIABLE.sub(found, value)


def _refuse_unknown(data: dict[Any, Any], struct: type[msgspec.Struct], name: str, path: str) -> None:
    fields = {field.name: field.type for field in msgspec.structs.fields(struct)}
    for key, value in data.items():
        if key not in fields:
            raise ConfigError(f"{name}: unknown setting '{path}{key}'{near(str(key), fields)}")
        for place, inner, type_ in _structs_in(fields[key], value):
            _refuse_unknown(inner, type_, name, f"{path}{key}{place}.")


def _structs_in(wanted: Any, value: Any) -> Iterator[tuple[str, dict[Any, Any], type[msgspec.Struct]]]:
    """Mappings inside `value` that become structs, each with its place behind the setting's name."""
    if isinstance(wanted, type) and issubclass(wanted, msgspec.Struct):
        if isinstance(value, dict):
            yield "", value, wanted
    elif get_origin(wanted) is dict and isinstance(value, dict):
        for key, each in value.items():
            for place, inner, type_ in _structs_in(get_args(wanted)[1], each):
                yield f".{key}{place}", inner, type_
    elif get_origin(wanted) is tuple and isinstance(value, list):
        for number, each in enumerate(value):
            for place, inner, type_ in _structs_in(get_args(wanted)[0], each):
                yield f"[{number}]{place}", inner, type_
