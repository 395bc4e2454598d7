"""The site as `make docs` builds it: strict, whole, and alone."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest

from batchrouter.adapters.metric_table import METRICS
from batchrouter.api.endpoints import ENDPOINTS
from scripts.reference import commands
from scripts.reference.settings import settings
from tests.conftest import ROOT
from tests.unit.docs.pages import DOCS, table
from tests.unit.docs.test_reference import api_errors

LOADS = {"link": "href", "script": "src", "img": "src", "iframe": "src", "source": "src", "object": "data"}


def build(docs: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """As the Makefile does, but for the place."""
    command = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--jobs", "2", str(docs), str(site)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = build(DOCS, folder)
    assert (done.returncode, done.stderr) == (0, "")
    return folder


@pytest.fixture(scope="module")
def words(site: Path) -> str:
    """What the pages say, without their tags."""
    pages = [page.read_text(encoding="utf-8") for page in site.rglob("*.html")]
    return unescape(re.sub(r"<[^>]+>", "", "\n".join(pages)))


class _Loads(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        address = dict(attrs).get(LOADS.get(tag, ""))
        if address:
            self.found.append(address)


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    """No fonts, scripts, styles or pictures of another host: they are looked at where there is no internet."""
    for page in site.rglob("*.html"):
        reader = _Loads()
        reader.feed(page.read_text(encoding="utf-8"))
        assert reader.found, page
        assert [address for address in reader.found if re.match(r"(\w+:)?//", address)] == [], page
    for style in site.rglob("*.css"):
        told = style.read_text(encoding="utf-8")
        assert re.findall(r"(?:url\(|@import\s)\s*['\"]?(?:\w+:)?//[^)]*", told) == [], style


def test_every_setting_code_metric_command_and_call_is_in_the_site(words: str) -> None:
    """Whoever searches for a word of the program finds it."""
    names = {name for name, _, _ in settings()}
    names |= {metric.told for metric in METRICS}
    names |= {f"batchrouter {name}" for name in commands.commands()}
    names |= {f"{each.method} {each.home.value[0]}{each.path}".replace(":path}", "}") for each in ENDPOINTS}
    names |= {code for _, code in api_errors() if re.fullmatch(r"\w+", code)}
    names |= {code for row in table(DOCS / "errors.md", "code") for code in re.findall(r"`(\w+)`", row[0])}
    assert {name for name in names if name not in words} == set()


def test_a_dead_link_and_a_page_outside_the_navigation_are_errors(tmp_path: Path) -> None:
    """Both would be found by readers only."""
    docs = tmp_path / "docs"
    docs.mkdir()
    shutil.copyfile(DOCS / "conf.py", docs / "conf.py")
    (docs / "index.md").write_text("# Contents\n\n[Gone](gone.md), and [here](#nowhere).\n", encoding="utf-8")
    (docs / "lost.md").write_text("# Lost\n", encoding="utf-8")
    done = build(docs, tmp_path / "site")
    assert done.returncode != 0
    assert re.search(r"index\.md:3: WARNING: .*gone\.md", done.stderr)
    assert re.search(r"index\.md:3: WARNING: .*nowhere", done.stderr)
    assert "lost.md: WARNING: document isn't included in any toctree" in done.stderr
