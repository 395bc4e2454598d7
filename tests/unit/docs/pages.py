"""Reading our own pages: tables, blocks of code, links."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT

DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]

_BLOCK = re.compile(
    r"^(?P<marks>(?: *<!-- (?:file|not run|not ours): [^\n]+ -->\n)*)"
    r"(?P<indent> *)```(?P<language>\w*)\n(?P<code>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
_MARK = re.compile(r"<!-- (file|not run|not ours): (.+) -->")
_RULE = re.compile(r"\|(\s*:?-+:?\s*\|)+")


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of code. Comments above it, which no reader sees, say what is special about it:

    - `file: NAME`: it is the content of that file, for the blocks that follow;
    - `not run: REASON`: it cannot be run here, and is only read;
    - `not ours: REASON`: YAML of something else than BatchRouter.
    """

    page: str
    number: int
    language: str
    code: str
    marks: tuple[tuple[str, str], ...]

    def mark(self, name: str) -> str | None:
        return dict(self.marks).get(name)

    def __str__(self) -> str:
        """As the id of a test: where it stands, and why it is not run if so."""
        reason = self.mark("not run") or self.mark("not ours")
        told = f"{self.page}-{self.number}-{self.language or 'plain'}"
        return f"{told}: {reason}" if reason else told


def all_blocks(page: Path) -> list[Block]:
    """The page's blocks in order, numbered from 1."""
    return [
        Block(
            page=name(page),
            number=number,
            language=match["language"],
            code=textwrap.dedent(match["code"]),
            marks=tuple(_MARK.findall(match["marks"])),
        )
        for number, match in enumerate(_BLOCK.finditer(text(page)), 1)
    ]


def blocks(page: Path, *languages: str) -> list[str]:
    """The contents of the page's code blocks in these languages, in order."""
    return [block.code for block in all_blocks(page) if block.language in languages]


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
