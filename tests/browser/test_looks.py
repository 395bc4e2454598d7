"""Every page at every width, light and dark: a picture for people, and nothing that keeps anybody out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

import openai
import pytest
from playwright.sync_api import Page, expect

from tests.browser.rig import DESKTOP, PHONE, SCREENSHOTS, Desk, axe, request
from tests.serving import ServerProcess

Scene = Callable[[Page, "Batches"], None]


class Batches(NamedTuple):
    """In states that look different."""

    done: str
    running: str
    paused: str
    refused: str


@pytest.fixture(scope="module")
def batches(server: ServerProcess) -> Iterator[Batches]:
    """One that ended with failures, one under way, one paused, and one that was refused for its lines."""
    with server.client() as client:

        def create(count: int, name: str, *, bad: bool = False) -> str:
            lines = [request(at, f"{'poison' if at % 15 == 3 else 'hello'} {name} {at}") for at in range(count)]
            lines += ['{"custom_id": "broken"'] if bad else []
            file = client.files.create(file=(f"{name}.jsonl", "\n".join(lines).encode()), purpose="batch")
            batch = client.batches.create(
                input_file_id=file.id,
                endpoint="/v1/chat/completions",
                completion_window="24h",
                metadata={"name": name, "team": "evals"},
            )
            return batch.id

        done = create(60, "Nightly evaluation")
        ended(client, done)
        refused = create(3, "Wrong file", bad=True)
        running = create(20_000, "A long one, whose name goes on for so long that it does not fit on a telephone")
        paused = create(50, "For later")
        server.ask("POST", f"/v1/batches/{paused}/pause")
        yield Batches(done, running, paused, refused)
        client.batches.cancel(running)


def ended(client: openai.OpenAI, batch_id: str) -> None:
    while client.batches.retrieve(batch_id, extra_query={"wait": 10, "wait_for": "final"}).status != "completed":
        pass


def the_list(page: Page, batches: Batches) -> None:
    page.goto(home(page) + "#/batches")
    expect(page.get_by_text("Nightly evaluation")).to_be_visible()
    expect(page.get_by_text("paused").first).to_be_visible()


def a_batch(page: Page, batches: Batches) -> None:
    page.goto(f"{home(page)}#/batches/{batches.done}")
    expect(page.get_by_role("heading", name="Nightly evaluation")).to_be_visible()
    expect(page.get_by_text("too_bad").first).to_be_visible()


def a_running_batch(page: Page, batches: Batches) -> None:
    page.goto(f"{home(page)}#/batches/{batches.running}")
    expect(page.get_by_text("in flight").first).to_be_visible()
    expect(page.get_by_text("q-000").first).to_be_visible()


def a_refused_batch(page: Page, batches: Batches) -> None:
    page.goto(f"{home(page)}#/batches/{batches.refused}")
    expect(page.get_by_text("invalid_json_line").first).to_be_visible()


def lines(page: Page, batches: Batches) -> None:
    page.goto(f"{home(page)}#/batches/{batches.done}/lines")
    expect(page.get_by_text("q-000").first).to_be_visible()


def a_line(page: Page, batches: Batches) -> None:
    lines(page, batches)
    page.get_by_text("q-003").first.click()
    expect(page.get_by_role("dialog").get_by_text("This prompt is poison.").first).to_be_visible()


def a_new_batch(page: Page, batches: Batches) -> None:
    page.goto(home(page) + "#/new")
    page.get_by_label("JSONL file").set_input_files(
        {
            "name": "questions.jsonl",
            "mimeType": "application/jsonl",
            "buffer": "\n".join([request(1, "hello"), '{"custom_id": "cut', request(1, "twice")]).encode(),
        }
    )
    expect(page.get_by_text("Line 3", exact=True)).to_be_visible()
    expect(page.get_by_text("sim/large")).to_be_visible()


def an_empty_new_batch(page: Page, batches: Batches) -> None:
    page.goto(home(page) + "#/new")
    expect(page.get_by_text("Drop a JSONL file of requests here")).to_be_visible()


def files(page: Page, batches: Batches) -> None:
    page.goto(home(page) + "#/files")
    expect(page.get_by_text("Nightly evaluation.jsonl")).to_be_visible()


def providers(page: Page, batches: Batches) -> None:
    page.goto(home(page) + "#/providers")
    expect(page.get_by_role("heading", name="sim")).to_be_visible()
    expect(page.get_by_role("cell", name="small")).to_be_visible()


def keys(page: Page, batches: Batches) -> None:
    page.goto(home(page) + "#/keys")
    expect(page.get_by_role("button", name="New key")).to_be_visible()


def nowhere(page: Page, batches: Batches) -> None:
    page.goto(home(page) + "#/nowhere")
    expect(page.get_by_text("There is no such page")).to_be_visible()


def home(page: Page) -> str:
    return page.url.partition("#")[0]


SCENES: dict[str, Scene] = {
    "batches": the_list,
    "batch": a_batch,
    "batch-running": a_running_batch,
    "batch-refused": a_refused_batch,
    "lines": lines,
    "line": a_line,
    "new": an_empty_new_batch,
    "new-errors": a_new_batch,
    "files": files,
    "providers": providers,
    "keys": keys,
    "nowhere": nowhere,
}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("name", "size"), [("desktop", DESKTOP), ("phone", PHONE)])
def test_every_page_can_be_read_by_everybody(
    desk: Desk, server: ServerProcess, batches: Batches, name: str, size: tuple[int, int], scheme: str
) -> None:
    """axe finds no serious fault, nothing is wider than the window, and a picture lies in the folder `screenshots`."""
    SCREENSHOTS.mkdir(exist_ok=True)
    page = desk.page(size, scheme)
    faults = {"sign-in": axe(page)}
    page.screenshot(path=SCREENSHOTS / f"sign-in-{name}-{scheme}.png")
    page.get_by_label("API key").fill(server.admin_token)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Batches")).to_be_visible()
    for scene, arrange in SCENES.items():
        arrange(page, batches)
        page.screenshot(path=SCREENSHOTS / f"{scene}-{name}-{scheme}.png", full_page=scene != "batches")
        faults[scene] = axe(page)
        wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        if wide > 0:
            faults[scene].append(f"the page is {wide} px wider than the window")
    assert {scene: found for scene, found in faults.items() if found} == {}


def test_a_batch_is_reached_by_keyboard_alone(desk: Desk, page: Page, server: ServerProcess, batches: Batches) -> None:
    """From signing in to a failed line's answer, without a mouse."""
    expect(page.get_by_label("API key")).to_be_focused()
    page.keyboard.type(server.admin_token)
    page.keyboard.press("Enter")
    expect(page.get_by_text("Nightly evaluation")).to_be_visible()
    reach(page, re.compile("Nightly evaluation"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Nightly evaluation")).to_be_visible()
    reach(page, re.compile("^Lines$"))
    page.keyboard.press("Enter")
    expect(page.get_by_text("q-003").first).to_be_visible()
    reach(page, re.compile("q-000"))
    for _ in range(3):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog").get_by_text("This prompt is poison.").first).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def reach(page: Page, words: re.Pattern[str]) -> None:
    """Tab until what has the focus says so."""
    for _ in range(80):
        page.keyboard.press("Tab")
        focused = page.evaluate(
            "(document.activeElement.getAttribute('aria-label') || document.activeElement.innerText || '').trim()"
        )
        if words.search(focused):
            return
    raise AssertionError(f"Tab never comes to {words.pattern!r}")
