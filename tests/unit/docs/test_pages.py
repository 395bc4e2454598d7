"""What holds for every page: links lead somewhere, commands exist, examples can be read."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from batchrouter.cli.main import app
from scripts import make_diagrams
from tests.conftest import ROOT
from tests.unit.docs.pages import DOCS, PAGES, anchors, name, table, text

GROUP = typer.main.get_command(app)
ADRS = sorted((DOCS / "adr").glob("[0-9]*.md"))
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_CODE = re.compile(r"^```.*?^```$|`[^`\n]+`", re.MULTILINE | re.DOTALL)


def commands_of(group: typer.core.TyperGroup, before: str = "") -> dict[str, dict[str, bool]]:
    """Every command with its options and whether they are for people: `keys create` → {`--tenant`: True, …}."""
    found: dict[str, dict[str, bool]] = {}
    for word, command in group.commands.items():
        if isinstance(command, typer.core.TyperGroup):
            found |= commands_of(command, f"{before}{word} ")
        else:
            options = [(opt, not getattr(param, "hidden", False)) for param in command.params for opt in param.opts]
            found[before + word] = {opt: shown for opt, shown in options if opt.startswith("-")}
    return found


def options_of(page: Path) -> set[str]:
    return set(re.findall(r"`(-[-\w]+)", " ".join(row[0] for row in table(page, "option"))))


assert isinstance(GROUP, typer.core.TyperGroup)
COMMANDS = commands_of(GROUP)
FOR_ALL = {"--json", "--help"}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_somewhere(page: Path) -> None:
    """Pages, headings within them, tests and code; not the addresses of others."""
    for link in _LINK.findall(_CODE.sub("", text(page))):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link} leads nowhere"
        assert target.is_relative_to(ROOT), f"{link} leads out of the checkout"
        assert not anchor or anchor in anchors(target), f"{link} names no heading"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_command_and_option_exists(page: Path) -> None:
    """Whatever stands behind `batchrouter` in a line of code can be typed."""
    for code in _CODE.findall(text(page)):
        for line in code.strip("`").replace("\\\n", " ").splitlines():
            match = re.search(r"(?:^|[\s/])batchrouter ([a-z].*)", line)
            if match is None:
                continue
            words = shlex.split(match[1], comments=True)
            command = next((known for known in COMMANDS if known.split() == words[: len(known.split())]), None)
            if words == ["keys"]:  # the group, in prose
                continue
            assert command is not None, f"there is no command '{line}'"
            options = {word.partition("=")[0] for word in words if re.match(r"-{1,2}[a-z]", word)}
            assert options <= COMMANDS[command].keys() | FOR_ALL, line


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_make_target_exists(page: Path) -> None:
    """`make` does what the pages say."""
    targets = set(re.findall(r"^(\w+):.*## ", text(ROOT / "Makefile"), re.MULTILINE))
    for code in _CODE.findall(text(page)):
        assert set(re.findall(r"(?:^|[\s`])make ([a-z]+)", code)) <= targets


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_no_page_names_a_place_of_one_machine(page: Path) -> None:
    """Paths are of the reader's machine or of the checkout."""
    assert re.findall(r"(?<![\w.])/(?:work|tmp|root|home|Users)\b", text(page)) == []


def test_every_option_of_the_simulator_is_on_its_page() -> None:
    """It is a product of its own; those of the other commands are made from the program (`test_reference`)."""
    shown = {option for option, for_people in COMMANDS["simulate"].items() if for_people}
    assert shown - FOR_ALL == options_of(DOCS / "simulator.md") - FOR_ALL


def test_the_diagrams_are_what_the_tables_give() -> None:
    """`python scripts/make_diagrams.py` draws them; all of them are in the page."""
    page = text(make_diagrams.PAGE)
    assert make_diagrams.drawn(page) == page
    assert all(diagram in page for diagram in make_diagrams.DIAGRAMS.values())


@pytest.mark.parametrize("page", ADRS, ids=name)
def test_a_decision_has_its_form(page: Path) -> None:
    """Number, date, four headings, at most a page; and it is in the list."""
    lines = text(page).splitlines()
    assert lines[0].startswith(f"# {page.name[:4]}: ")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d · (accepted|superseded by \[\d{4}\]\(.+\))", lines[2])
    assert [line for line in lines if line.startswith("## ")] == [
        "## Context", "## Decision", "## Alternatives and why not", "## Consequences"
    ]  # fmt: skip
    assert len(lines) <= 60
    assert f"[{page.name[:4]}]({page.name})" in text(page.with_name("README.md"))


def test_decisions_are_numbered_without_a_gap() -> None:
    """Nobody looks for a page that never was."""
    assert [int(page.name[:4]) for page in ADRS] == list(range(1, len(ADRS) + 1))


def test_every_page_of_the_documentation_is_reached_from_the_readme() -> None:
    """A page that nothing leads to is not read."""
    reached = {ROOT / "README.md"}
    while True:
        links = {
            (page.parent / link.partition("#")[0]).resolve() for page in reached for link in _LINK.findall(text(page))
        }
        new = {link for link in links if link.suffix == ".md" and link.is_file()} - reached
        if not new:
            break
        reached |= new
    assert set(DOCS.rglob("*.md")) <= reached
