"""Carries out a Dockerfile's instructions in overlays over this machine's root: see rehearse_image.py.

To be used by root in a mount namespace of its own.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scripts.dockerfile import Ignore, Stage, Step

ROOT = Path(__file__).resolve().parent.parent
SEARCHED = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
HIDDEN = ("/root", "/home", str(ROOT))
"""What the machine has and an image has not."""


@dataclass(slots=True)
class Layer:
    """A stage that is being built: where its root is mounted, and what its instructions have said so far."""

    root: Path
    env: dict[str, str]
    cwd: str = "/"
    user: str = "0:0"
    said: dict[str, Step] = field(default_factory=dict)

    def inside(self, path: str) -> Path:
        return self.root / os.path.normpath(os.path.join(self.cwd, path)).lstrip("/")


def built(stage: Stage, folder: Path, python: Path, others: Mapping[str, Layer]) -> Layer:
    root = folder / "root"
    _overlay(Path("/"), folder / "os", root)
    _overlay(python, folder / "python", root / "usr/local")
    # A script names the Python that it was made for by its path, and this one was moved.
    (root / "usr/local/bin/pip").write_text('#!/bin/sh\nexec python -m pip "$@"\n', encoding="utf-8")
    for place in ("proc", "dev", "sys"):
        do("mount", "--rbind", f"/{place}", str(root / place))
    do("mount", "-t", "tmpfs", "tmpfs", str(root / "tmp"))
    env = {name: value for name, value in os.environ.items() if not re.match("PYTHON|VIRTUAL_ENV|PATH$|HOME$", name)}
    env |= {"PATH": SEARCHED, "HOME": "/root", "LD_LIBRARY_PATH": "/usr/local/lib"}
    layer = Layer(root, env)
    ignored = Ignore((ROOT / ".dockerignore").read_text(encoding="utf-8"))
    for step in stage.steps:
        began = time.monotonic()
        _take(layer, step, ignored, others)
        layer.said[step.word] = step
        if step.word in ("RUN", "COPY"):
            print(f"{time.monotonic() - began:6.1f} s  {step.word} {step.value[:90]}", flush=True)
    return layer


def _overlay(lower: Path, folder: Path, place: Path) -> None:
    for each in (folder / "upper", folder / "work", place):
        each.mkdir(parents=True, exist_ok=True)
    layers = f"lowerdir={lower},upperdir={folder / 'upper'},workdir={folder / 'work'}"
    do("mount", "-t", "overlay", "overlay", "-o", layers, str(place))


def _take(layer: Layer, step: Step, ignored: Ignore, others: Mapping[str, Layer]) -> None:
    match step.word:
        case "ENV":
            for word in step.words:
                name, _, value = word.partition("=")
                layer.env[name] = re.sub(r"\$\{?(\w+)\}?", lambda m: layer.env.get(m[1], ""), value)
        case "WORKDIR":
            layer.cwd = step.value
            layer.inside(".").mkdir(parents=True, exist_ok=True)
        case "USER":
            layer.user = step.value
        case "RUN":
            do("chroot", str(layer.root), "/bin/sh", "-c", f"cd {layer.cwd} && {step.value}", env=layer.env)
        case "COPY" if "from" in step.options:
            source, target = step.words
            shutil.copytree(others[step.options["from"]].inside(source), layer.inside(target), symlinks=True)
        case "COPY":
            _copy(layer, step.words, ignored)
        case _:
            pass  # said of the image, and looked at when it is run


def _copy(layer: Layer, words: Sequence[str], ignored: Ignore) -> None:
    """A folder's content goes into the target; so do files if there are several, or if the target ends with a slash."""
    *sources, target = words
    into = target.endswith("/") or len(sources) > 1
    for source in sources:
        for path in ignored.files(ROOT, source):
            below = path.name if path == Path(source) and into else str(path.relative_to(source))
            place = layer.inside(f"{target}/{below}" if below != "." else target)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / path, place)


def do(*words: str, env: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(words, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(words)[:300]}: {done.returncode}\n{done.stdout[-4000:]}")


def lock_down(layer: Layer) -> None:
    volume = layer.inside(layer.said["VOLUME"].value)
    owned = volume.stat()
    for place in (layer.root, layer.root / "usr/local"):
        do("mount", "-o", "remount,ro", str(place))
    for path in HIDDEN:
        if (layer.root / path.lstrip("/")).is_dir():
            do("mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(layer.root / path.lstrip("/")))
    # A new volume is given to whom the folder in the image belongs.
    like = f"uid={owned.st_uid},gid={owned.st_gid},mode={owned.st_mode & 0o777:o}"
    do("mount", "-t", "tmpfs", "-o", like, "tmpfs", str(volume))


def mount_files(layer: Layer, files: Mapping[str, Path]) -> None:
    """Lay files of this machine over those of a layer that is locked down, read-only: by their paths in it."""
    do("mount", "-o", "remount,rw", str(layer.root))
    for target in files:
        layer.inside(target).touch()
    do("mount", "-o", "remount,ro", str(layer.root))
    for target, path in files.items():
        do("mount", "--bind", "-o", "ro", str(path), str(layer.inside(target)))


def as_user(layer: Layer, command: Sequence[str], more: Mapping[str, str] | None = None) -> list[str]:
    """`command` in the image, with its environment and `more`, and nothing of ours."""
    env = {name: layer.env[name] for name in (*_names_of(layer.said), "PATH", "LD_LIBRARY_PATH")} | dict(more or {})
    words = ["chroot", f"--userspec={layer.user}", "--groups=", str(layer.root), "env", "-i"]
    words += [f"{name}={value}" for name, value in {**env, "HOME": layer.cwd}.items()]
    return [*words, "sh", "-c", f'cd {layer.cwd} && exec "$@"', "sh", *command]


def _names_of(said: Mapping[str, Step]) -> list[str]:
    return [word.partition("=")[0] for word in said["ENV"].words] if "ENV" in said else []
