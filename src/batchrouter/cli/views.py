"""How batches that are watched look on standard error: one as a run shows itself, several as a table, or as lines where
nothing can be drawn."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from batchrouter.bootstrap.local import now_s
from batchrouter.cli.facts import clean, fact, money
from batchrouter.cli.figures import Figures
from batchrouter.cli.progress import Progress, progress_on_stderr
from batchrouter.cli.told import BatchTold
from batchrouter.cli.words import say


class View(Protocol):
    def show(self, figures: Sequence[Figures], batches: Sequence[BatchTold]) -> None: ...

    @property
    def note(self) -> Callable[[str], None]: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class OneView:
    """As a run shows itself."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.note = progress.note

    def show(self, figures: Sequence[Figures], batches: Sequence[BatchTold]) -> None:
        self._progress.show(figures[0])

    def __enter__(self) -> Self:
        self._progress.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.__exit__(None, None, None)


class LinesView:
    """A line for each batch whose state has changed."""

    def __init__(self) -> None:
        self._states: dict[str, str] = {}
        self.note: Callable[[str], None] = say

    def show(self, figures: Sequence[Figures], batches: Sequence[BatchTold]) -> None:
        for batch in batches:
            if self._states.get(batch.id) != batch.state:
                self._states[batch.id] = batch.state
                say(fact(batch, now_s()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None


class TableView:
    """A row for each batch."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._note: str | None = None
        self.note: Callable[[str], None] = self._take

    def show(self, figures: Sequence[Figures], batches: Sequence[BatchTold]) -> None:
        rows = Table.grid(padding=(0, 1), expand=True)
        for ratio in (4, 3, 4, 3, 2):
            rows.add_column(ratio=ratio, no_wrap=True)
        for each, batch in zip(figures, batches, strict=True):
            eta = "" if each.eta_range_s is None else f"{each.eta_range_s[1]:.0f} s left"
            rows.add_row(
                Text(clean(batch.name) or batch.id, style="bold"),
                Text(batch.state),
                ProgressBar(total=each.total or None, completed=each.done, pulse=not each.total),
                Text(f"{each.done}/{each.total}" + (f", {each.failed} failed" if each.failed else "")),
                Text(eta if not batch.final else money(each.cost), style="dim"),
            )
        title = f"{sum(batch.final for batch in batches)} of {len(batches)} over"
        panel = Panel(rows, title=Text(title), subtitle=Text(self._note) if self._note else None, title_align="left")
        self._live.update(panel, refresh=True)

    def _take(self, sentence: str) -> None:
        self._note = sentence

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()


def view_of(batches: Sequence[BatchTold]) -> View:
    """The one that suits their number and this terminal."""
    if len(batches) == 1:
        return OneView(progress_on_stderr(batches[0].name or batches[0].id))
    console = Console(stderr=True)
    if console.is_terminal and not console.is_dumb_terminal and sys.stderr.isatty():
        return TableView(console)
    return LinesView()
