"""Ten thousand batches, and thousands of lines: the page holds the rows that are seen, and every row is reached."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from batchrouter.simulator import Script
from batchrouter.simulator.process import SimulatorProcess, running_simulator
from tests.browser.rig import Desk, request, sign_in
from tests.serving import ServerProcess, config_for, running_server

BATCHES, RARE, LINES = 10_000, 1_000, 3_000
ROWS_MAX = 60
"""More than fit into the window, with those that are drawn ahead: as many whatever there is beyond."""


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorProcess]:
    with running_simulator(Script()) as running:
        yield running


@pytest.fixture(scope="module")
def server(simulator: SimulatorProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with running_server(tmp_path_factory.mktemp("scale"), config_for(simulator.base_url)) as running:
        yield running


def ended(server: ServerProcess, count: int) -> str:
    """A batch of so many lines, which are all answered."""
    with server.client() as client:
        text = "\n".join(request(at, f"hello {at}") for at in range(count))
        file = client.files.create(file=("many.jsonl", text.encode()), purpose="batch")
        batch = client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", metadata={"name": "many"}
        )
    path = f"/v1/batches/{batch.id}?wait=20&wait_for=final"
    while (told := server.ask("GET", path)["status"]) != "completed":
        assert told in ("validating", "in_progress", "finalizing")
    return batch.id


def repeat(server: ServerProcess, batch_id: str) -> None:
    """As if there had been ten thousand such batches, every tenth of them with another model: in one statement, as to
    make them one by one would take minutes."""
    with sqlite3.connect(server.folder / "batchrouter.db", timeout=30) as database:
        told = database.execute("SELECT * FROM batches WHERE id = ?", [batch_id])
        values = {name: name for (name, *_) in told.description if name != "seq"}
        values |= {
            "id": "printf('batch_%032x', n)",
            "metadata": """printf('{"name":"run %d"}', n)""",
            "model": f"CASE n % {BATCHES // RARE} WHEN 0 THEN 'rare' ELSE 'usual' END",
        }
        database.execute(
            f"WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < {BATCHES - 1})"
            f" INSERT INTO batches ({', '.join(values)}) SELECT {', '.join(values.values())}"
            " FROM numbers CROSS JOIN batches WHERE batches.id = ? ORDER BY n DESC",
            [batch_id],
        )
    database.close()


def scroll_until(page: Page, row: int) -> int:
    """Down to that row, as fast as the page goes along; how many rows it held at most."""
    return int(
        page.wait_for_function(
            """row => {
                const rows = document.querySelectorAll("[data-index]");
                window.mostRows = Math.max(window.mostRows ?? 0, rows.length);
                if (document.querySelector(`[data-index="${row}"]`)) return window.mostRows;
                window.scrollTo(0, document.body.scrollHeight);
                return 0;
            }""",
            arg=row,
        ).json_value()
    )


def test_ten_thousand_batches_and_thousands_of_lines_are_read_and_drawn_as_they_are_reached(
    desk: Desk, page: Page, server: ServerProcess
) -> None:
    batch_id = ended(server, LINES)
    repeat(server, batch_id)
    sign_in(page)
    expect(page.get_by_text("run 0", exact=True)).to_be_visible()
    assert scroll_until(page, 400) < ROWS_MAX

    page.goto(f"{server.url}/#/?model=rare")
    expect(page.locator("[data-index='1']").get_by_text("run 10", exact=True)).to_be_visible()
    assert scroll_until(page, RARE - 1) < ROWS_MAX
    last = page.locator(f"[data-index='{RARE - 1}']")
    expect(last.get_by_text(f"run {BATCHES - BATCHES // RARE}", exact=True)).to_be_visible()
    expect(page.get_by_role("table")).to_have_attribute("aria-rowcount", str(RARE + 1))

    page.goto(f"{server.url}/#/batches/{batch_id}/lines")
    expect(page.get_by_text("q-000", exact=True)).to_be_visible()
    assert scroll_until(page, LINES - 1) < ROWS_MAX
    page.locator(f"[data-index='{LINES - 1}']").get_by_text(f"q-{LINES - 1}", exact=True).click()
    expect(page.get_by_role("dialog").get_by_text(f"hello {LINES - 1}").first).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(f"[data-index='{LINES - 1}']")).to_be_visible()
    assert page.locator("[data-index]").count() < ROWS_MAX
