"""State diagrams without a library that browsers would have to load: the site shows each as a table of its moves."""

from __future__ import annotations

import re
from collections.abc import Sequence

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

_ARROW = re.compile(r"\s*(\S+) --> ([^\s:]+)(?:: (.*))?")
_EDGE = "[*]"


class Mermaid(SphinxDirective):
    """A `stateDiagram-v2` of the form that `scripts/make_diagrams.py` draws."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        head, *rest = self.content
        moves = [_ARROW.fullmatch(line) for line in rest]
        if head != "stateDiagram-v2" or None in moves:
            raise self.error("this diagram is none of scripts/make_diagrams.py")
        return [_table(moves_of([match.groups() for match in moves if match]))]


def moves_of(arrows: Sequence[tuple[str, ...]]) -> list[tuple[str, str, str]]:
    """(state, events, next state) of each move; the first state is marked, and so are those that nothing leaves."""
    first = {target for state, target, _ in arrows if state == _EDGE}
    last = {state for state, target, _ in arrows if target == _EDGE}
    found = [
        (f"{state} (first)" if state in first else state, events, f"{target} (end)" if target in last else target)
        for state, target, events in arrows
        if _EDGE not in (state, target)
    ]
    # A state's name stands once, at the first of its moves.
    return [(row[0] if n == 0 or found[n - 1][0] != row[0] else "", *row[1:]) for n, row in enumerate(found)]


def _table(rows: Sequence[tuple[str, ...]]) -> nodes.table:
    group = nodes.tgroup("", *(nodes.colspec(colwidth=width) for width in (3, 5, 3)), cols=3)
    group += nodes.thead("", _row([nodes.Text(word) for word in ("state", "event", "becomes")]))
    group += nodes.tbody("", *(_row([nodes.literal(text=word) for word in row]) for row in rows))
    return nodes.table("", group)


def _row(cells: Sequence[nodes.Node]) -> nodes.row:
    return nodes.row(
        "", *(nodes.entry("", nodes.paragraph("", "", *([cell] if cell.astext() else []))) for cell in cells)
    )
