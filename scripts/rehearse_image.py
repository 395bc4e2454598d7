#!/usr/bin/env python3
"""Build and run the image without a container engine: the Dockerfile's own instructions, one after the other.

Each stage is an overlay over this machine's root, with a Python of the Dockerfile's version laid over /usr/local in the
place of the base image. What is copied goes through .dockerignore. The last stage is then run as an engine would run it
in the strictest case: as the user of USER, as process 1, on a read-only root with nothing but the volume and /tmp to
write to, without a network, and without the checkout and the homes of this machine. It must answer its own health
check, make a key, and end with 0 on STOPSIGNAL.

What this cannot show: the base image itself, its Debian, and the size of the result.

Needs root on Linux, overlayfs, `unshare`, and the network for the packages of the locks.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts.dockerfile import Ignore, Stage, Step, stages  # noqa: E402

READY_S = 30.0
STOP_S = 20.0
SEARCHED = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
HIDDEN = ("/root", "/home", "/work", str(ROOT))
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


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--python", metavar="PREFIX", default=sys.base_prefix, help="Laid over /usr/local.")
    options.add_argument("--inside", metavar="FOLDER", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.inside is None:
        return _in_a_namespace(given.python)
    parts = stages((ROOT / "Dockerfile").read_text(encoding="utf-8"))
    built: dict[str, Layer] = {}
    for number, stage in enumerate(parts):
        built[stage.name] = _built(stage, Path(given.inside) / str(number), Path(given.python), built)
    return _run(built[parts[-1].name])


def _in_a_namespace(python: str) -> int:
    """Mounts made in it are gone with it."""
    if os.geteuid() != 0:
        sys.exit("this needs root, to mount and to change users")
    wanted = re.search(r"^FROM python:(\d+\.\d+)", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    if wanted is None or not (Path(python) / "bin" / f"python{wanted[1]}").exists():
        sys.exit(
            f"{python} has no Python {wanted and wanted[1]}, as the Dockerfile wants: name one with --python PREFIX"
        )
    folder = tempfile.mkdtemp(prefix="batchrouter-image-")
    words = [sys.executable, __file__, "--python", python, "--inside", folder]
    try:
        return subprocess.run(["unshare", "--mount", "--propagation", "private", *words]).returncode
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# --- build ----------------------------------------------------------------------------------------------------------


def _built(stage: Stage, folder: Path, python: Path, built: Mapping[str, Layer]) -> Layer:
    root = folder / "root"
    _overlay(Path("/"), folder / "os", root)
    _overlay(python, folder / "python", root / "usr/local")
    # A script names the Python that it was made for by its path, and this one was moved.
    (root / "usr/local/bin/pip").write_text('#!/bin/sh\nexec python -m pip "$@"\n', encoding="utf-8")
    for place in ("proc", "dev", "sys"):
        _do("mount", "--rbind", f"/{place}", str(root / place))
    _do("mount", "-t", "tmpfs", "tmpfs", str(root / "tmp"))
    env = {name: value for name, value in os.environ.items() if not re.match("PYTHON|VIRTUAL_ENV|PATH$|HOME$", name)}
    env |= {"PATH": SEARCHED, "HOME": "/root", "LD_LIBRARY_PATH": "/usr/local/lib"}
    layer = Layer(root, env)
    ignored = Ignore((ROOT / ".dockerignore").read_text(encoding="utf-8"))
    for step in stage.steps:
        began = time.monotonic()
        _take(layer, step, ignored, built)
        layer.said[step.word] = step
        if step.word in ("RUN", "COPY"):
            print(f"{time.monotonic() - began:6.1f} s  {step.word} {step.value[:90]}", flush=True)
    return layer


def _overlay(lower: Path, folder: Path, place: Path) -> None:
    for each in (folder / "upper", folder / "work", place):
        each.mkdir(parents=True, exist_ok=True)
    layers = f"lowerdir={lower},upperdir={folder / 'upper'},workdir={folder / 'work'}"
    _do("mount", "-t", "overlay", "overlay", "-o", layers, str(place))


def _take(layer: Layer, step: Step, ignored: Ignore, built: Mapping[str, Layer]) -> None:
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
            _do("chroot", str(layer.root), "/bin/sh", "-c", f"cd {layer.cwd} && {step.value}", env=layer.env)
        case "COPY" if "from" in step.options:
            source, target = step.words
            shutil.copytree(built[step.options["from"]].inside(source), layer.inside(target), symlinks=True)
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


def _do(*words: str, env: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(words, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(words)[:300]}: {done.returncode}\n{done.stdout[-4000:]}")


# --- run ------------------------------------------------------------------------------------------------------------


def _run(layer: Layer) -> int:
    """The questions that a container engine would put to it, and a few more; 0 if each is answered well."""
    _lock_down(layer)
    print(f"{_bytes(layer.root / 'opt/batchrouter') // 1_000_000} MB in /opt/batchrouter")
    command = [*layer.said["ENTRYPOINT"].words, *layer.said["CMD"].words]
    container = [
        "unshare",
        "--net",
        "--pid",
        "--fork",
        "--kill-child",
        "sh",
        "-c",
        'ip link set lo up; exec "$@"',
        "sh",
    ]
    process = subprocess.Popen([*container, *_as_user(layer, command)])
    try:
        asked = {
            "answers its health check": _until_ready(layer, process),
            "cannot write to its root": not _ask(layer, process, ["sh", "-c", ": >/srv/batchrouter/x"]),
            "can write to its volume and to /tmp": _ask(
                layer, process, ["sh", "-c", ": >batchrouter-data/x; : >/tmp/x"]
            ),
            "makes a key through the running server": _ask(layer, process, ["batchrouter", "keys", "create"]),
            "has no pip in its environment": not _ask(layer, process, ["python", "-c", "import pip"]),
            "ends with 0 on its STOPSIGNAL": _stopped(layer, process),
        }
    finally:
        process.kill()
    for words, well in asked.items():
        print(f"{'yes' if well else 'NO ':>6}    {words}")
    return 0 if all(asked.values()) else 1


def _lock_down(layer: Layer) -> None:
    volume = layer.inside(layer.said["VOLUME"].value)
    owned = volume.stat()
    for place in (layer.root, layer.root / "usr/local"):
        _do("mount", "-o", "remount,ro", str(place))
    for path in HIDDEN:
        if (layer.root / path.lstrip("/")).is_dir():
            _do("mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(layer.root / path.lstrip("/")))
    # A new volume is given to whom the folder in the image belongs.
    like = f"uid={owned.st_uid},gid={owned.st_gid},mode={owned.st_mode & 0o777:o}"
    _do("mount", "-t", "tmpfs", "-o", like, "tmpfs", str(volume))


def _as_user(layer: Layer, command: Sequence[str]) -> list[str]:
    """`command` in the image, with its environment and nothing of ours."""
    env = {name: layer.env[name] for name in (*_names_of(layer.said), "PATH", "LD_LIBRARY_PATH")}
    words = ["chroot", f"--userspec={layer.user}", "--groups=", str(layer.root), "env", "-i"]
    words += [f"{name}={value}" for name, value in {**env, "HOME": layer.cwd}.items()]
    return [*words, "sh", "-c", f'cd {layer.cwd} && exec "$@"', "sh", *command]


def _names_of(said: Mapping[str, Step]) -> list[str]:
    return [word.partition("=")[0] for word in said["ENV"].words] if "ENV" in said else []


def _ask(layer: Layer, process: subprocess.Popen[bytes], command: Sequence[str]) -> bool:
    """Whether `command` ends with 0 beside the running one, on its network."""
    inside = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii").split()
    if not inside:
        return False
    enter = ["nsenter", "--net", "--target", inside[0], *_as_user(layer, command)]
    done = subprocess.run(enter, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=READY_S)
    return done.returncode == 0


def _until_ready(layer: Layer, process: subprocess.Popen[bytes]) -> bool:
    until = time.monotonic() + READY_S
    while process.poll() is None and time.monotonic() < until:
        if _ask(layer, process, layer.said["HEALTHCHECK"].words):
            return True
        time.sleep(0.2)
    return False


def _stopped(layer: Layer, process: subprocess.Popen[bytes]) -> bool:
    """To process 1 of the container, which gets no signal that it does not handle."""
    inside = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii").split()
    for pid in inside:
        os.kill(int(pid), signal.Signals[layer.said["STOPSIGNAL"].value])
    try:
        return process.wait(STOP_S) == 0
    except subprocess.TimeoutExpired:
        return False


def _bytes(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*"))


if __name__ == "__main__":
    sys.exit(main())
