"""A table of text that fits the terminal: columns that matter less are left out, none is cut in a pipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size

GAP = "  "
EASY = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """`need`: columns with the highest number go first when room is short; 0 stays, and those above `EASY` go before
    anything is cut. `least`: cells to which it may be cut; None: it is never cut. `right`: numbers."""

    title: str
    need: int = 0
    least: int | None = None
    right: bool = False


def laid_out(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int | None) -> list[str]:
    """The head and a line for each row. `width` None: as wide as it is. A column without any text is left out."""
    kept = [at for at, column in enumerate(columns) if not column.need or any(row[at] for row in rows)]
    while True:
        widths = {at: max(cell_len(columns[at].title), *(cell_len(row[at]) for row in rows), 1) for at in kept}
        over = 0 if width is None else sum(widths.values()) + len(GAP) * (len(kept) - 1) - width
        if over <= 0:
            break
        spare = {at: widths[at] - (columns[at].least or widths[at]) for at in kept}
        droppable = [at for at in kept if columns[at].need]
        easy = any(columns[at].need > EASY for at in kept)
        if (sum(spare.values()) >= over and not easy) or not droppable:
            _narrow(widths, spare, over)
            break
        kept.remove(max(droppable, key=lambda at: columns[at].need))
    head = [column.title for column in columns]
    return [GAP.join(_cell(row[at], widths[at], columns[at].right) for at in kept).rstrip() for row in [head, *rows]]


def _narrow(widths: dict[int, int], spare: dict[int, int], over: int) -> None:
    """Take from those that have most to spare."""
    for at in sorted(spare, key=lambda at: -spare[at]):
        taken = min(over, max(0, spare[at]))
        widths[at] -= taken
        over -= taken


def _cell(text: str, width: int, right: bool) -> str:
    size = cell_len(text)
    if size > width:
        return set_cell_size(text, width - 1) + "…" if width > 1 else "…"
    return " " * (width - size) + text if right else text + " " * (width - size)
