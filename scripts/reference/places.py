"""Places in a page that are made, and the tables in it whose facts are: what a person writes beside them stays."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

_PLACE = re.compile(r"(<!-- made: ([\w ]+) -->\n).*?(<!-- end of what is made -->)", re.DOTALL)
_CELLS = re.compile(r"(?<!\\)\|")

Row = list[str]


def filled(page: str, made: dict[str, str]) -> str:
    """The page with every place as `made` has it. KeyError for a name that it has not."""
    return _PLACE.sub(lambda place: f"{place[1]}\n{made[place[2]].strip()}\n\n{place[3]}", page)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join([line(head), "|" + "---|" * len(head), *(line(row) for row in rows)])


def line(cells: Sequence[str]) -> str:
    return "".join(f"| {cell} " if cell else "| " for cell in cells) + "|"


def escaped(words: str) -> str:
    """As a cell of a table."""
    return " ".join(words.split()).replace("|", "\\|")


def with_tables(page: str, first: str, renewed: Callable[[int, list[Row]], list[Row]]) -> str:
    """The page with the rows of each table whose head begins with the cell `first` put through `renewed`, which is
    given the number of the table (from 0) and its rows."""
    done: list[str] = []
    number = 0
    lines = page.splitlines()
    at = 0
    while at < len(lines):
        done.append(lines[at])
        at += 1
        if not lines[at - 1].startswith(f"| {first} |"):
            continue
        done.append(lines[at])
        at += 1
        rows: list[Row] = []
        while at < len(lines) and lines[at].startswith("|"):
            rows.append([cell.strip() for cell in _CELLS.split(lines[at])[1:-1]])
            at += 1
        done += [line(row) for row in renewed(number, rows)]
        number += 1
    return "\n".join(done) + "\n"
