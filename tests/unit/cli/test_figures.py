"""What progress tells: no figure before there is one, and none that cannot be."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from batchrouter.cli.figures import RATE_WINDOW_S, Figures, LaneFigures, RateMeter
from batchrouter.cli.progress import PLAIN_EVERY_S, PlainProgress, line_of, panel_of
from batchrouter.cli.words import seconds, short_count

LANE = LaneFigures("p/m", "open", None, None, 4, 8, 10, 90)
FIGURES = Figures(
    phase="running",
    total=100,
    completed=9,
    failed=1,
    in_flight=4,
    retrying=2,
    tokens_in=1234,
    tokens_out=56,
    elapsed_s=1.0,
    rate=10.0,
    tokens_rate=99.0,
    lanes=(LANE,),
)


def test_before_the_first_answer_there_is_no_rate() -> None:
    meter = RateMeter()
    assert meter.rates is None
    meter.note(0.0, 0, 0)
    meter.note(1.0, 0, 0)
    assert meter.rates is None
    meter.note(2.0, 30, 600)
    assert meter.rates == (15.0, 300.0)


def test_the_rate_is_that_of_the_last_seconds() -> None:
    """A run that slowed down does not boast of its start."""
    meter = RateMeter()
    for second in range(100):
        meter.note(float(second), min(second, 50) * 100 + max(0, second - 50), 0)
    rates = meter.rates
    assert rates is not None
    assert rates[0] == pytest.approx(1.0)
    assert len(meter._points) <= RATE_WINDOW_S + 2


def test_what_is_neither_done_nor_under_way_waits() -> None:
    assert (FIGURES.done, FIGURES.waiting, FIGURES.eta_s) == (10, 84, 9.0)
    # Answers that are being written down are for a moment neither.
    assert replace(FIGURES, in_flight=95).waiting == 0


def test_a_plain_line_has_every_figure_and_no_control_character() -> None:
    line = line_of(FIGURES)
    for part in ("10/100 (10.0 %)", "failed 1", "in flight 4", "waiting 84", "retrying 2", "10.0/s", "ETA 9.0 s"):
        assert part in line
    assert line.isprintable()
    assert "ETA –" in line_of(replace(FIGURES, rate=None))


def test_plain_progress_speaks_every_few_seconds_and_when_a_lane_has_news(capsys: pytest.CaptureFixture[str]) -> None:
    with PlainProgress() as progress:
        for tenth in range(100):
            progress.show(replace(FIGURES, elapsed_s=tenth / 10))
        assert len(capsys.readouterr().err.splitlines()) == 10 / PLAIN_EVERY_S
        stuck = replace(LANE, state="paused", reason="the upstream refuses the key", until_s=30.0)
        for _ in range(3):
            progress.show(replace(FIGURES, elapsed_s=9.9, lanes=(stuck,)))
        told = capsys.readouterr().err.splitlines()
    assert told == ["lane p/m: paused: the upstream refuses the key, tried again in 30.0 s, 90 left"]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_panel_shows_every_figure_and_why_a_lane_waits(width: int) -> None:
    stuck = replace(LANE, name="p/other", state="paused", reason="no credit", until_s=30.0)
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(panel_of(replace(FIGURES, lanes=(LANE, stuck)), "in → out", "Stopping"))
    text = console.export_text()
    for word in (
        "running",
        "10 of",
        "failed",
        "in flight",
        "84",
        "retrying",
        "ETA",
        "p/other",
        "no credit",
        "Stopping",
    ):
        assert word in text
    assert text.index("p/other") < text.index("p/m")


def test_of_many_lanes_the_panel_shows_a_few() -> None:
    lanes = tuple(replace(LANE, name=f"p/{number}") for number in range(64))
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(panel_of(replace(FIGURES, lanes=lanes), "in → out", None))
    assert "and 56 more lanes" in console.export_text()


@pytest.mark.parametrize(
    ("span_s", "words"), [(0.4, "0.40 s"), (7.46, "7.5 s"), (59.99, "60.0 s"), (185.0, "3m05s"), (7620.0, "2h07m")]
)
def test_a_span_is_told_as_people_say_it(span_s: float, words: str) -> None:
    assert seconds(span_s) == words


@pytest.mark.parametrize(("number", "words"), [(999, "999"), (1234, "1.2k"), (5_600_000, "5.6M"), (2e9, "2.0G")])
def test_large_counts_are_told_short(number: float, words: str) -> None:
    assert short_count(number) == words
