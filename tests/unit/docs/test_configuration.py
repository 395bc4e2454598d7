"""docs/configuration.md against the code: every setting, variable, host and example."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest

from batchrouter import config
from batchrouter.domain.routing import Resolved
from batchrouter.providers.hosts import HOSTS
from scripts.reference.settings import settings
from tests.conftest import ROOT
from tests.unit.docs.pages import DOCS, blocks, table, text

PAGE = DOCS / "configuration.md"
NONE = "–"
ENV = {"OPENAI_API_KEY": "sk-openai", "ANTHROPIC_API_KEY": "sk-ant"}


def test_every_setting_is_told_and_no_other() -> None:
    """Once each, in words; what can be made from the code is (`test_reference`)."""
    rows = table(PAGE, "setting")
    assert sorted(row[0] for row in rows) == sorted(f"`{name}`" for name, _, _ in settings())
    assert [row[0] for row in rows if not row[-1]] == []


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


def test_the_example_of_a_whole_file_can_be_used() -> None:
    """With the variables that it names. Those in pages are read by `test_blocks`."""
    example = text(ROOT / "examples" / "batchrouter.yaml")
    config.parse(example, dict.fromkeys(re.findall(r"\$\{([A-Z_0-9]+)\}", example), "sk-1"), "the example")
