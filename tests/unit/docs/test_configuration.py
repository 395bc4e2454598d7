"""docs/configuration.md against the code: every setting, default, variable and example."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, get_args, get_origin

import msgspec
import pytest
import yaml

from batchrouter import config
from batchrouter.domain.routing import Resolved
from batchrouter.providers.hosts import HOSTS
from tests.conftest import ROOT
from tests.unit.docs.pages import DOCS, blocks, table, text

PAGE = DOCS / "configuration.md"
NONE = "–"
ENV = {"OPENAI_API_KEY": "sk-openai", "ANTHROPIC_API_KEY": "sk-ant"}


NEEDED = "needed"


def settings(struct: type[msgspec.Struct], path: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted name, default) of everything that a file may set."""
    for field in msgspec.structs.fields(struct):
        inner = next((each for each in get_args(field.type) if issubclass_of_struct(each)), None)
        if field.name == "providers":
            yield from settings(config.ProviderConfig, "providers.NAME.")
        elif inner is not None and get_origin(field.type) is dict:
            yield from settings(inner, f"{path}{field.name}.GLOB.")
            yield f"{path}{field.name}", {}
        elif inner is not None:
            yield from settings(inner, f"{path}{field.name}[].")
            yield f"{path}{field.name}", []
        elif isinstance(field.default, msgspec.Struct):
            yield from settings(type(field.default), f"{path}{field.name}.")
        elif field.required:
            yield f"{path}{field.name}", NEEDED
        else:
            default = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
            yield f"{path}{field.name}", list(default) if isinstance(default, tuple) else default


def issubclass_of_struct(wanted: object) -> bool:
    return isinstance(wanted, type) and issubclass(wanted, msgspec.Struct)


def test_every_setting_is_told_with_its_default_and_no_other() -> None:
    """The tables of the page are the structs of the code."""
    told = {row[0].strip("`"): row[1] for row in table(PAGE, "setting")}
    assert set(told) == {name for name, _ in settings(config.Config)}
    for name, default in settings(config.Config):
        if default is None or default == NEEDED:
            assert told[name] == (default or NONE), name
        else:
            assert yaml.safe_load(told[name].strip("`")) == default, name


def test_every_variable_that_is_read_is_told() -> None:
    """What the vendors' tools read, and our own."""
    told = " ".join([row[0] for row in table(PAGE, "variable")] + [row[3] for row in table(PAGE, "`type`")])
    ours = set()
    for path in (ROOT / "src").rglob("*.py"):
        ours |= set(re.findall(r"BATCHROUTER_[A-Z_]+", path.read_text(encoding="utf-8")))
    theirs = {name for host in HOSTS.values() for name in (*host.key_env, host.base_env) if name}
    assert set(re.findall(r"`([A-Z_]+)`", told)) == ours | theirs


def test_the_table_of_hosts_is_the_rows_of_the_code() -> None:
    """Name, aliases, address, variables, what the batch API takes, whether there is a flex tier; in the same order."""

    def ticked(words: Sequence[str]) -> str:
        return ", ".join(f"`{word}`" for word in words) or NONE

    assert table(PAGE, "`type`") == [
        [
            f"`{host.name}`",
            ticked(host.aliases),
            f"`{host.base_url}`" if host.base_url else "your own",
            ticked(host.key_env),
            ticked(() if host.batch is None else host.batch.endpoints),
            "yes" if host.flex else NONE,
        ]
        for host in HOSTS.values()
    ]


@pytest.mark.parametrize("row", table(PAGE, "line has"), ids=lambda row: row[0])
def test_a_line_runs_where_the_example_says(row: list[str]) -> None:
    """The table of examples, by the router, with the file that stands at the top of the page."""
    line = dict(re.findall(r'"(model|provider)": "([^"]+)"', row[0]))
    router = config.router_of(config.parse(blocks(PAGE, "yaml")[0], ENV, "the example"))
    found = router.resolve(line.get("provider", ""), line["model"])
    if isinstance(found, Resolved):
        assert [found.provider, found.model] == [row[1], row[2].strip("`")]
    else:
        assert f"`{found.fault.name.lower()}`" in row[3]


def test_the_endpoints_are_told() -> None:
    """Prose that lists what the code lists."""
    assert [path for path in config.LINE_ENDPOINTS if f"`{path}`" not in text(PAGE)] == []


EXAMPLES = [code for page in (PAGE, DOCS / "howto.md", ROOT / "README.md") for code in blocks(page, "yaml")]
EXAMPLES.append(text(ROOT / "examples" / "batchrouter.yaml"))


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_can_be_used(example: str) -> None:
    """With the variables that it names."""
    variables = dict.fromkeys(re.findall(r"\$\{([A-Z_0-9]+)\}", example), "sk-1")
    config.parse(example, variables, "the example")
