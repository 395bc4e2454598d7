"""docs/configuration.md against the code: every setting, default, variable and example."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import yaml

from batchrouter import config
from batchrouter.bootstrap.wiring import router_of
from batchrouter.domain.routing import Resolved
from tests.conftest import ROOT
from tests.unit.docs.pages import DOCS, blocks, table

PAGE = DOCS / "configuration.md"
NONE = "–"
ENV = {"OPENAI_API_KEY": "sk-openai"}


def settings(struct: type[msgspec.Struct], path: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted name, default) of everything that a file may set."""
    for field in msgspec.structs.fields(struct):
        if field.name == "providers":
            yield from settings(config.ProviderConfig, "providers.NAME.")
        elif isinstance(field.default, msgspec.Struct):
            yield from settings(type(field.default), f"{field.name}.")
        else:
            default = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
            yield f"{path}{field.name}", list(default) if isinstance(default, tuple) else default


def test_every_setting_is_told_with_its_default_and_no_other() -> None:
    """The tables of the page are the structs of the code."""
    told = {row[0].strip("`"): row[1] for row in table(PAGE, "setting")}
    assert set(told) == {name for name, _ in settings(config.Config)}
    for name, default in settings(config.Config):
        if default is None:
            assert told[name] == NONE, name
        else:
            assert yaml.safe_load(told[name].strip("`")) == default, name


def test_every_variable_that_is_read_is_told() -> None:
    """What the vendors' tools read, and our own."""
    told = " ".join(row[0] for row in table(PAGE, "variable"))
    ours = set()
    for path in (ROOT / "src").rglob("*.py"):
        ours |= set(re.findall(r"BATCHROUTER_[A-Z_]+", path.read_text(encoding="utf-8")))
    theirs = {name for _, keys, moved in config.KNOWN_HOSTS.values() for name in (*keys, moved) if name}
    assert set(re.findall(r"`([A-Z_]+)`", told)) == ours | theirs


@pytest.mark.parametrize("row", table(PAGE, "line has"), ids=lambda row: row[0])
def test_a_line_runs_where_the_example_says(row: list[str]) -> None:
    """The table of examples, by the router, with the file that stands at the top of the page."""
    line = dict(re.findall(r'"(model|provider)": "([^"]+)"', row[0]))
    router = router_of(config.parse(blocks(PAGE, "yaml")[0], ENV, "the example"))
    found = router.resolve(line.get("provider", ""), line["model"])
    if isinstance(found, Resolved):
        assert [found.provider, found.model] == [row[1], row[2].strip("`")]
    else:
        assert f"`{found.fault.name.lower()}`" in row[3]


def test_the_known_providers_and_endpoints_are_told() -> None:
    """Prose that lists what the code lists."""
    text = PAGE.read_text(encoding="utf-8")
    assert [name for name in config.KNOWN_HOSTS if f"`{name}`" not in text] == []
    assert [path for path in config.LINE_ENDPOINTS if f"`{path}`" not in text] == []
