"""State diagrams without a library that browsers would have to load.

What runs in one direction is drawn, as SVG inside the page; what goes round is shown as a table of its moves, which is
easier to read than its picture.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

Move = tuple[str, str, str]
"""(state, next state, events)"""

_ARROW = re.compile(r"\s*(\S+) --> ([^\s:]+)(?:: (.*))?")
_EDGE = "[*]"
_WIDE, _HIGH, _COLUMN, _ROW = 116, 34, 236, 66


class Mermaid(SphinxDirective):
    """A `stateDiagram-v2` of the form that `scripts/make_diagrams.py` draws."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        head, *rest = self.content
        found = [_ARROW.fullmatch(line) for line in rest]
        if head != "stateDiagram-v2" or None in found:
            raise self.error("this diagram is none of scripts/make_diagrams.py")
        arrows = [(match[1], match[2], match[3] or "") for match in found if match]
        first = next(target for state, target, _ in arrows if state == _EDGE)
        last = {state for state, target, _ in arrows if target == _EDGE}
        moves = [arrow for arrow in arrows if _EDGE not in arrow[:2]]
        columns = columns_of(moves, first)
        if columns is None:
            return [_table(moves, first, last)]
        return [nodes.raw("", drawing(moves, columns, last), format="html")]


def columns_of(moves: Sequence[Move], first: str) -> dict[str, int] | None:
    """For each state the length of the longest way to it; None where a way leads back."""
    columns = {first: 0}
    for _ in range(len(moves) + 1):
        longer = {
            target: columns[state] + 1
            for state, target, _ in sorted(moves, key=lambda move: columns.get(move[0], -1))
            if state in columns and columns.get(target, -1) <= columns[state]
        }
        if not longer:
            return columns
        columns |= longer
    return None


def rows_of(moves: Sequence[Move], columns: Mapping[str, int]) -> dict[str, float]:
    """Heights, in rows: each state near the middle of those before it, none over another, the least of them 0."""
    rows: dict[str, float] = {}
    for column in range(max(columns.values()) + 1):
        wanted: dict[str, float] = {}
        for state in (each for each in columns if columns[each] == column):
            before = [rows[source] for source, target, _ in moves if target == state]
            wanted[state] = sum(before) / len(before) if before else 0.0
        order = sorted(wanted, key=lambda state: wanted[state])
        top = sum(wanted.values()) / len(wanted) - (len(order) - 1) / 2
        rows |= {state: top + number for number, state in enumerate(order)}
    least = min(rows.values())
    return {state: row - least for state, row in rows.items()}


def drawing(moves: Sequence[Move], columns: Mapping[str, int], last: set[str]) -> str:
    rows = rows_of(moves, columns)
    at = {state: (columns[state] * _COLUMN + 2, rows[state] * _ROW + 2) for state in columns}
    width = max(x for x, _ in at.values()) + _WIDE + 2
    height = max(y for _, y in at.values()) + _HIGH + 2
    told = "; ".join(f"{state} becomes {target} on {events}" for state, target, events in moves)
    parts = [f'<div class="states"><svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(told)}">']
    parts.append('<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" ')
    parts.append('orient="auto"><path d="M0 0L8 4L0 8z"/></marker></defs>')
    words = []
    for state, target, events in moves:
        left, right = at[state][0] + _WIDE, at[target][0]
        begin, end = at[state][1] + _HIGH / 2, at[target][1] + _HIGH / 2
        middle = (left + right) / 2
        parts.append(
            f'<path class="move" d="M{left} {begin:g}C{middle:g} {begin:g} {middle:g} {end:g} {right} {end:g}"/>'
        )
        words.append(f'<text x="{middle:g}" y="{(begin + end) / 2:g}">{escape(events)}</text>')
    for state, (x, y) in at.items():
        kind = "state end" if state in last else "state"
        parts.append(f'<rect class="{kind}" x="{x}" y="{y:g}" width="{_WIDE}" height="{_HIGH}" rx="6"/>')
        words.append(f'<text class="name" x="{x + _WIDE / 2:g}" y="{y + _HIGH / 2:g}">{escape(state)}</text>')
    return "".join([*parts, *words, "</svg></div>"])


def _table(moves: Sequence[Move], first: str, last: set[str]) -> nodes.table:
    rows: list[list[nodes.Node]] = []
    before = ""
    for state, target, events in moves:
        shown = f"{state} (first)" if state == first else state
        end = f"{target} (end)" if target in last else target
        rows.append([nodes.literal(text=word) for word in ("" if state == before else shown, events, end)])
        before = state
    group = nodes.tgroup("", *(nodes.colspec(colwidth=width) for width in (3, 5, 3)), cols=3)
    group += nodes.thead("", _row([nodes.Text(word) for word in ("state", "event", "becomes")]))
    group += nodes.tbody("", *(_row(row) for row in rows))
    return nodes.table("", group)


def _row(cells: Sequence[nodes.Node]) -> nodes.row:
    return nodes.row(
        "", *(nodes.entry("", nodes.paragraph("", "", *([cell] if cell.astext() else []))) for cell in cells)
    )
