"""The dashboard in a real browser: from a file with bad lines to the answers, as a person would."""

from __future__ import annotations

import json
import re
from pathlib import Path

from playwright.sync_api import Page, expect

from batchrouter.simulator.process import SimulatorProcess
from tests.browser.conftest import SOUND
from tests.browser.rig import Desk, request, sign_in
from tests.serving import KEY, ServerProcess

LINES = 60


def input_with_faults(folder: Path) -> tuple[Path, list[str]]:
    """60 requests, of which the seventh line is cut off and the twelfth repeats an id; three are refused upstream."""
    lines = [request(number, f"{'poison' if number % 20 == 3 else 'hello'} ü {number}") for number in range(LINES)]
    good = list(lines)
    lines[6] = lines[6][:-20]
    lines[11] = request(0, "the same id as the first")
    path = folder / "questions.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path, good


def drop(page: Page, path: Path) -> None:
    """As with a mouse: the browser hears of a file that is dropped on the zone."""
    transfer = page.evaluate_handle(
        """([name, text]) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([text], name, {type: "application/jsonl"}));
            return transfer;
        }""",
        [path.name, path.read_text(encoding="utf-8")],
    )
    zone = page.get_by_text("Drop a JSONL file of requests here")
    zone.dispatch_event("dragover", {"dataTransfer": transfer})
    zone.dispatch_event("drop", {"dataTransfer": transfer})


def number_of(page: Page, name: str) -> int:
    """One of the numbers beside the progress bar."""
    found = page.locator("li", has_text=re.compile(rf"^[\d,]+ {name}")).first
    return int(re.sub(r"\D", "", found.locator("b").first.inner_text())) if found.count() else 0


def test_nothing_is_shown_without_a_key(desk: Desk, page: Page) -> None:
    """And a wrong one is refused in words; signing out leaves nothing behind."""
    expect(page.get_by_role("heading", name="Batches")).to_have_count(0)
    page.get_by_label("API key").fill("sk-wrong-0123456789")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_be_visible()
    desk.forgive("401")
    sign_in(page)
    page.reload()
    expect(page.get_by_role("heading", name="Batches")).to_be_visible()
    page.get_by_role("button", name="Account").click()
    page.get_by_role("menuitem", name="Sign out").click()
    expect(page.get_by_label("API key")).to_be_visible()
    assert page.evaluate("JSON.stringify({...localStorage, ...sessionStorage})").find(KEY) == -1


def test_from_a_file_with_bad_lines_to_the_answers(
    desk: Desk, page: Page, server: ServerProcess, simulator: SimulatorProcess
) -> None:
    """Sign in, drop a file, mend its lines, start, watch it finish live, open a failed line, retry, download."""
    sign_in(page)
    path, good = input_with_faults(desk.folder)
    page.get_by_role("link", name="New batch").first.click()
    drop(page, path)
    expect(page.get_by_text("Line 7", exact=True)).to_be_visible()
    expect(page.get_by_text("Line 12", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Start the batch")).to_be_disabled()
    assert simulator.log() == [], "something was sent before the batch was started"

    page.get_by_role("button", name="Edit line 7").click()
    page.get_by_label("Text of line 7").fill(good[6])
    page.get_by_role("button", name="Keep").click()
    page.get_by_role("button", name="Leave out line 12").click()
    page.get_by_role("button", name="Check again with 2 corrections").click()
    expect(page.get_by_role("button", name="Start the batch")).to_be_enabled()
    expect(page.get_by_text(f"{LINES - 1} lines")).to_be_visible()
    expect(page.get_by_role("cell", name="sim/small")).to_be_visible()
    page.get_by_label("Name").fill("Fragen für heute")
    page.get_by_label("Budget in dollars").fill("5")
    page.get_by_role("button", name="Start the batch").click()

    expect(page.get_by_role("heading", name="Fragen für heute")).to_be_visible()
    batch_id = page.url.rpartition("/")[2]
    watch_it_finish(page)
    expect(page.get_by_text("too_bad").first).to_be_visible()
    told = server.ask("GET", f"/v1/batches/{batch_id}")
    assert told["request_counts"] == {"total": LINES - 1, "completed": LINES - 4, "failed": 3}
    assert told["batchrouter"]["max_cost"] == 5

    page.get_by_role("navigation").get_by_role("link", name="Lines").click()
    page.get_by_role("button", name="Any outcome").click()
    page.get_by_role("menuitemcheckbox", name="failed").click()
    page.keyboard.press("Escape")
    page.get_by_text("q-003").first.click()
    drawer = page.get_by_role("dialog")
    expect(drawer.get_by_text("This prompt is poison.").first).to_be_visible()
    expect(drawer.get_by_text("poison ü 3").first).to_be_visible()
    page.keyboard.press("Escape")

    simulator.set_script(SOUND)
    page.goto(f"{server.url}/#/batches/{batch_id}")
    page.get_by_role("button", name="Retry").click()
    page.get_by_role("dialog").get_by_role("button", name="Start").click()
    page.wait_for_url(lambda url: batch_id not in url)
    again = page.url.rpartition("/")[2]
    watch_it_finish(page)
    retried = server.ask("GET", f"/v1/batches/{again}")
    assert retried["request_counts"] == {"total": LINES - 1, "completed": LINES - 1, "failed": 0}
    assert retried["batchrouter"]["retry_of"] == batch_id
    output = downloaded(page, "Output", desk.folder)
    assert output == server.fetch("GET", f"/v1/files/{retried['output_file_id']}/content")[1]
    ids = [json.loads(line)["custom_id"] for line in output.splitlines()]
    assert ids == [json.loads(line)["custom_id"] for at, line in enumerate(good) if at != 11]


def watch_it_finish(page: Page) -> None:
    """The numbers never go backwards, and in the end it says so by itself."""
    seen = (0, 0)
    state = page.locator("[data-status]").first
    while state.get_attribute("data-status") != "completed":
        now = (number_of(page, "done"), number_of(page, "failed"))
        assert now >= (seen[0], 0), (seen, now)
        assert now[1] >= seen[1], (seen, now)
        seen = now
        page.wait_for_timeout(50)


def downloaded(page: Page, words: str, folder: Path) -> bytes:
    with page.expect_download() as begun:
        page.get_by_role("button", name=re.compile(words)).first.click()
    path = folder / begun.value.suggested_filename
    begun.value.save_as(path)
    return path.read_bytes()
