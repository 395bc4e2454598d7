#!/usr/bin/env python3
"""Build and run the image without a container engine: the Dockerfile's own instructions, one after the other.

Each stage is an overlay over this machine's root, with a Python of the Dockerfile's version laid over /usr/local in the
place of the base image. What is copied goes through .dockerignore. The last stage is then run as an engine would run it
in the strictest case: as the user of USER, as process 1, on a read-only root with nothing but the volume and /tmp to
write to, without a network, and without the checkout and the homes of this machine. It must answer its own health
check, make a key, and end with 0 on STOPSIGNAL. Then the services of compose.yaml are run in it: see
rehearse_compose.py.

What this cannot show: the base image itself, its Debian, and the size of the result.

Needs root on Linux, overlayfs, `unshare`, `ip`, and the network for the packages of the locks.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts.dockerfile import stages  # noqa: E402
from scripts.image_layers import Layer, as_user, built, do, lock_down  # noqa: E402
from scripts.rehearse_compose import rehearse_compose  # noqa: E402

READY_S = 30.0
STOP_S = 20.0
CLONE_NEWNET = 0x40000000


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--python", metavar="PREFIX", default=sys.base_prefix, help="Laid over /usr/local.")
    options.add_argument("--inside", metavar="FOLDER", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.inside is None:
        return _in_a_namespace(given.python)
    folder = Path(given.inside)
    layer = _build(folder, Path(given.python))
    lock_down(layer)
    _leave_the_network()
    well = _told("the image", _questions_to_the_image(layer))
    return 0 if _told("compose.yaml", rehearse_compose(layer, folder)) and well else 1


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
    os.chmod(folder, 0o755)
    words = [sys.executable, __file__, "--python", python, "--inside", folder]
    try:
        return subprocess.run(["unshare", "--mount", "--propagation", "private", *words]).returncode
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _build(folder: Path, python: Path) -> Layer:
    parts = stages((ROOT / "Dockerfile").read_text(encoding="utf-8"))
    layers: dict[str, Layer] = {}
    for number, stage in enumerate(parts):
        layers[stage.name] = built(stage, folder / str(number), python, layers)
    last = layers[parts[-1].name]
    size = sum(path.lstat().st_size for path in last.inside("/opt/batchrouter").rglob("*"))
    print(f"{size // 1_000_000} MB in /opt/batchrouter", flush=True)
    return last


def _leave_the_network() -> None:
    """For one in which nobody is but us: any port is free, and no provider is reached."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
        sys.exit(f"no network of its own: {os.strerror(ctypes.get_errno())}")
    do("ip", "link", "set", "lo", "up")


def _questions_to_the_image(layer: Layer) -> dict[str, bool]:
    """What a container engine would ask of it, and a few things more."""
    command = [*layer.said["ENTRYPOINT"].words, *layer.said["CMD"].words]
    container = ["unshare", "--pid", "--fork", "--kill-child", *as_user(layer, command)]
    process = subprocess.Popen(container, stdout=subprocess.DEVNULL)
    try:
        return {
            "answers its health check": _until_ready(layer, process),
            "cannot write to its root": not _ask(layer, ["sh", "-c", ": >/srv/batchrouter/x"]),
            "can write to its volume and to /tmp": _ask(layer, ["sh", "-c", ": >batchrouter-data/x; : >/tmp/x"]),
            "makes a key through the running server": _ask(layer, ["batchrouter", "keys", "create"]),
            "has no pip in its environment": not _ask(layer, ["python", "-c", "import pip"]),
            "ends with 0 on its STOPSIGNAL": _stopped(layer, process),
        }
    finally:
        process.kill()


def _told(what: str, answers: dict[str, bool]) -> bool:
    print(f"\n{what}")
    for words, well in answers.items():
        print(f"  {'yes' if well else 'NO ':>3}  {words}", flush=True)
    return all(answers.values())


def _ask(layer: Layer, command: Sequence[str]) -> bool:
    """Whether `command` ends with 0 in the image."""
    done = subprocess.run(as_user(layer, command), capture_output=True, timeout=READY_S)
    return done.returncode == 0


def _until_ready(layer: Layer, process: subprocess.Popen[bytes]) -> bool:
    until = time.monotonic() + READY_S
    while process.poll() is None and time.monotonic() < until:
        if _ask(layer, layer.said["HEALTHCHECK"].words):
            return True
        time.sleep(0.2)
    return False


def _stopped(layer: Layer, process: subprocess.Popen[bytes]) -> bool:
    """By a signal to process 1 of the container, which gets none that it does not handle."""
    if process.poll() is not None:
        return False
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii").split()
    for pid in children:
        os.kill(int(pid), signal.Signals[layer.said["STOPSIGNAL"].value])
    try:
        return process.wait(STOP_S) == 0
    except subprocess.TimeoutExpired:
        return False


if __name__ == "__main__":
    sys.exit(main())
