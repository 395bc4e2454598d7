"""A person at the dashboard: windows of a size and a colour scheme, and what stands in their consoles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Response, expect

from tests.serving import KEY, ROOT, ServerProcess

DEADLINE_MS = 40_000
DESKTOP, PHONE = (1280, 900), (390, 844)
AXE = ROOT / "web" / "node_modules" / "axe-core" / "axe.min.js"
SCREENSHOTS = ROOT / "screenshots"
"""Where a person can look at every page; not kept by git."""

expect.set_options(timeout=DEADLINE_MS)


class Desk:
    """Opens windows. Whatever their consoles say that is an error, and every reply of 500 or more, fails at the end."""

    def __init__(self, browser: Browser, server: ServerProcess, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self._browser = browser
        self._contexts: list[BrowserContext] = []
        self._faults: list[str] = []

    def page(self, size: tuple[int, int] = DESKTOP, scheme: str = "light", key: str | None = None) -> Page:
        """A new window, signed in where a key is given."""
        context = self._browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme=scheme,  # type: ignore[arg-type]
            reduced_motion="reduce",
            accept_downloads=True,
        )
        context.set_default_timeout(DEADLINE_MS)
        self._contexts.append(context)
        page = context.new_page()
        page.on("console", self._note)
        page.on("pageerror", lambda error: self._faults.append(f"thrown: {error}"))
        page.on("response", self._look_at)
        page.on("request", lambda request: self._require_home(request.url))
        page.goto(self.server.url + "/")
        if key is not None:
            sign_in(page, key)
        return page

    def close(self) -> None:
        for context in self._contexts:
            context.close()
        assert self._faults == []

    def forgive(self, words: str) -> None:
        """Something that the test brings about on purpose: a refused key, for one."""
        forgiven = [fault for fault in self._faults if words in fault]
        assert forgiven, f"nothing says {words!r}: {self._faults}"
        self._faults = [fault for fault in self._faults if words not in fault]

    def _note(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self._faults.append(f"console: {message.text} ({message.location.get('url', '')})")

    def _look_at(self, response: Response) -> None:
        if response.status >= 500:
            self._faults.append(f"{response.status} from {response.url}")

    def _require_home(self, url: str) -> None:
        if not url.startswith((self.server.url, "data:", "blob:")):
            self._faults.append(f"asked another host: {url}")


def sign_in(page: Page, key: str = KEY) -> None:
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Batches")).to_be_visible()


def axe(page: Page) -> list[str]:
    """Serious and critical faults that axe finds in the page as it is."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found: dict[str, Any] = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{each['id']} ({each['impact']}): {node['html'][:200]} {node.get('failureSummary', '')[:300]}"
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]


def request(number: int, content: str, **changes: Any) -> str:
    body = {"model": ("small", "large")[number % 2], "messages": [{"role": "user", "content": content}]}
    line = {"custom_id": f"q-{number:03}", "method": "POST", "url": "/v1/chat/completions", "body": body, **changes}
    return json.dumps(line, ensure_ascii=False)
