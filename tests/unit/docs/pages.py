"""Reading our own pages: tables, blocks of code, links."""

from __future__ import annotations

import re
from pathlib import Path

from tests.conftest import ROOT

DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_RULE = re.compile(r"\|(\s*:?-+:?\s*\|)+")


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path, *languages: str) -> list[str]:
    """The contents of the page's code blocks in these languages, in order."""
    return [code for language, code in _BLOCK.findall(text(page)) if language in languages]


def table(page: Path, first: str) -> list[list[str]]:
    """The cells of the rows of every table whose head begins with the cell `first`."""
    found: list[list[str]] = []
    inside = False
    for line in text(page).splitlines():
        if not line.startswith("|"):
            inside = False
        elif line.split("|")[1].strip() == first:
            inside = True
        elif inside and not _RULE.fullmatch(line):
            found.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    assert found, f"{name(page)} has no table that begins with '{first}'"
    return found


def anchors(page: Path) -> set[str]:
    """The anchors that a page's headings get on GitHub."""
    headings = re.findall(r"^#+ (.+)$", re.sub(_BLOCK, "", text(page)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
