"""Progress on standard error: a panel on a terminal, a plain line every few seconds elsewhere."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.style import Style
from rich.table import Table
from rich.text import Text

from batchrouter.cli.facts import clean, money
from batchrouter.cli.figures import Figures, LaneFigures
from batchrouter.cli.words import count, say, seconds, short_count

PLAIN_EVERY_S = 5.0
LANES_SHOWN = 8
UNKNOWN = "–"  # noqa: RUF001 - a figure that is not known yet


class Progress(Protocol):
    """Used as `with`; `show` as often as figures are had, `note` for a sentence that must stay readable."""

    def show(self, figures: Figures) -> None: ...

    def note(self, sentence: str) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def progress_on_stderr(title: str) -> Progress:
    console = Console(stderr=True)
    if console.is_terminal and not console.is_dumb_terminal and sys.stderr.isatty():
        return PanelProgress(console, title)
    return PlainProgress()


class PanelProgress:
    def __init__(self, console: Console, title: str) -> None:
        self._title = title
        self._note: str | None = None
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def show(self, figures: Figures) -> None:
        self._live.update(panel_of(figures, self._title, self._note), refresh=True)

    def note(self, sentence: str) -> None:
        self._note = sentence

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()


class PlainProgress:
    """A line at the start of each phase, then one every `PLAIN_EVERY_S`, and one whenever a lane has something new to
    say."""

    def __init__(self) -> None:
        self._last_s = 0.0
        self._phase: str | None = None
        self._reasons: dict[str, str | None] = {}

    def show(self, figures: Figures) -> None:
        for lane in figures.lanes:
            if lane.left and self._reasons.get(lane.name) != lane.reason:
                self._reasons[lane.name] = lane.reason
                say(f"lane {lane.name}: {_state_of(lane)}")
        if self._phase != figures.phase or figures.elapsed_s - self._last_s >= PLAIN_EVERY_S:
            self._phase, self._last_s = figures.phase, figures.elapsed_s
            say(line_of(figures))

    def note(self, sentence: str) -> None:
        say(sentence)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None


def line_of(figures: Figures) -> str:
    """All figures in one line without control characters."""
    if not figures.total:
        return figures.phase
    share = 100 * figures.done / figures.total
    rate = UNKNOWN if figures.rate is None else f"{figures.rate:.1f}/s"
    cost = "" if figures.cost is None else f"cost {money(figures.cost)}, "
    return (
        f"{figures.phase}: {count(figures.done)}/{count(figures.total)} ({share:.1f} %), "
        f"failed {count(figures.failed)}, in flight {figures.in_flight}, waiting {count(figures.waiting)}, "
        f"retrying {count(figures.retrying)}, rate {rate}, "
        f"tokens {short_count(figures.tokens_in)} in {short_count(figures.tokens_out)} out, "
        f"{cost}ETA {_eta(figures)}"
    )


def panel_of(figures: Figures, title: str, note: str | None) -> Panel:
    rows = Table.grid(padding=(0, 1), expand=True)
    for ratio in (5, 3, 4, 3):
        rows.add_column(ratio=ratio)
    rate = UNKNOWN if figures.rate is None else f"{figures.rate:,.1f} lines/s"
    tokens_rate = "" if figures.tokens_rate is None else f" ({short_count(figures.tokens_rate)}/s)"
    tokens = f"{short_count(figures.tokens_in)} in, {short_count(figures.tokens_out)} out{tokens_rate}"
    rows.add_row(
        _figure("done", f"{count(figures.done)} of {count(figures.total)}" if figures.total else UNKNOWN),
        _figure("failed", count(figures.failed), "red" if figures.failed else ""),
        _figure("rate", rate),
        _figure("ETA", _eta(figures)),
    )
    rows.add_row(
        _figure("in flight", count(figures.in_flight)),
        _figure("waiting", count(figures.waiting)),
        _figure("retrying", count(figures.retrying), "yellow" if figures.retrying else ""),
        _figure("elapsed", seconds(figures.elapsed_s)),
    )
    bar = Table.grid(expand=True)  # a bar alone does not end its line
    bar.add_row(ProgressBar(total=figures.total or None, completed=figures.done, pulse=not figures.total))
    spent = _figure("tokens", tokens)
    if figures.cost is not None:
        spent.append_text(Text("   ")).append_text(_figure("cost", money(figures.cost)))
    parts: list[RenderableType] = [bar, rows, spent, *_lanes(figures.lanes)]
    if figures.link is not None:
        parts.append(Text(figures.link, style=Style(dim=True, link=figures.link), overflow="fold"))
    if note:
        parts.append(Text(note, style="bold yellow"))
    return Panel(Group(*parts), title=Text(clean(f"{title}: {figures.phase}")), title_align="left")


def _figure(name: str, value: str, style: str = "") -> Text:
    return Text.assemble((f"{name} ", "dim"), (value, style or "bold"))


def _lanes(lanes: tuple[LaneFigures, ...]) -> list[Text]:
    """Those with something left; the ones that wait first."""
    left = sorted((lane for lane in lanes if lane.left), key=lambda lane: (lane.state == "open", lane.name))
    shown = [
        Text.assemble(
            ("● ", "green" if lane.state == "open" else "yellow"), (lane.name, "bold"), f"  {_state_of(lane)}"
        )
        for lane in left[:LANES_SHOWN]
    ]
    if len(left) > LANES_SHOWN:
        shown.append(Text(f"  and {len(left) - LANES_SHOWN} more lanes", style="dim"))
    return shown


def _state_of(lane: LaneFigures) -> str:
    pace = f"in flight {lane.in_flight} of at most {lane.limit}, " if lane.limit else ""
    if lane.state == "open":
        return f"{pace}{count(lane.left)} left"
    again = f", tried again in {seconds(max(0.0, lane.until_s))}" if lane.until_s is not None else ""
    return f"{lane.state}: {lane.reason or 'no reason was told'}{again}, {count(lane.left)} left"


def _eta(figures: Figures) -> str:
    span = figures.eta_range_s
    if span is not None:
        low, high = (seconds(round(each)) if each >= 1 else seconds(each) for each in span)
        return low if low == high else f"{low} to {high}"
    return UNKNOWN if figures.eta_s is None else seconds(figures.eta_s)
