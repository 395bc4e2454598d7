"""What the site needs beside Sphinx: links that lead out of `docs/`, and drawings of what runs in one direction."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from itertools import combinations
from typing import Any

import pytest

from batchrouter.domain.lane_health import LANE, LaneState
from batchrouter.domain.lifecycle import BATCH, UPLOAD, BatchState, UploadState
from scripts.docs_site.diagrams import Move, columns_of, drawing, rows_of
from scripts.docs_site.links import inside
from scripts.docs_site.navigation import PAGES
from tests.unit.docs.pages import DOCS


def moves_of(table: Mapping[Any, Mapping[Any, StrEnum]]) -> list[Move]:
    return [(state, target, event) for state, moves in table.items() for event, target in moves.items()]


@pytest.mark.parametrize(("table", "first"), [(BATCH, BatchState.VALIDATING), (UPLOAD, UploadState.PENDING)])
def test_a_lifecycle_that_ends_is_drawn_forward_and_nothing_covers_anything(table: Any, first: str) -> None:
    """Every move leads to a later column; states of a column are a row apart; every state and event is there."""
    moves = moves_of(table)
    columns = columns_of(moves, first)
    assert columns is not None
    assert set(columns) == set(table)
    assert all(columns[state] < columns[target] for state, target, _ in moves)
    rows = rows_of(moves, columns)
    assert min(rows.values()) == 0
    for one, other in combinations(columns, 2):
        assert columns[one] != columns[other] or abs(rows[one] - rows[other]) >= 1
    drawn = drawing(moves, columns, set())
    assert [word for move in moves for word in move if f">{word}<" not in drawn] == []


def test_a_lifecycle_that_goes_round_is_not_drawn() -> None:
    """It becomes a table."""
    assert columns_of(moves_of(LANE), LaneState.OPEN) is None


@pytest.mark.parametrize(
    ("page", "link", "becomes"),
    [
        ("api", "[errors](errors.md#codes)", "[errors](errors.md#codes)"),
        ("api", "[errors.md](errors.md)", "[](errors.md)"),
        ("api", "[read](../README.md#licence)", "[read](index.md)"),
        ("guides/vllm", "[read](../../README.md)", "[read](../index.md)"),
        ("api", "[rows](../src/batchrouter/errors.py)", "[rows](../src/batchrouter/errors.py)"),
        ("api", "[tests](../tests/chaos)", "tests"),
        ("api", "[work](../CONTRIBUTING.md)", "work"),
        ("api", "`[code](../tests)`", "`[code](../tests)`"),
        ("api", "[far](https://example.com/)", "[far](https://example.com/)"),
    ],
)
def test_a_link_out_of_the_docs_becomes_what_a_site_has(page: str, link: str, becomes: str) -> None:
    """The README is the first page, a file a download; what a site cannot have is named."""
    assert inside(link, DOCS, page) == becomes


def test_the_navigation_names_each_page_once() -> None:
    """And none that is not there; that none is missing, the build tells."""
    named = [page for rows in PAGES.values() for page in rows]
    assert len(named) == len(set(named))
    assert [page for page in named if not (DOCS / f"{page}.md").is_file()] == []
