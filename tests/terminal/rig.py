"""Commands in a real terminal, with people's fingers on its keys; and a link to the server that can be held."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from urllib.parse import urlsplit

import pexpect
from rich.cells import cell_len

DEADLINE_S = 40.0
CTRL_C, CTRL_D, TAB = "\x03", "\x04", "\t"

_ESCAPES = re.compile(r"\x1b(\[[0-9;?]*[A-Za-z]|\][^\x07\x1b]*(\x07|\x1b\\)|[=>()][0-9A-B]?)")
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class Terminal:
    """One command in a terminal of so many columns."""

    def __init__(self, command: list[str], folder: Path, env: dict[str, str], columns: int, rows: int = 40) -> None:
        self.columns = columns
        self._child = pexpect.spawn(
            command[0],
            command[1:],
            cwd=str(folder),
            env=env,  # type: ignore[arg-type]
            dimensions=(rows, columns),
            encoding="utf-8",
            codec_errors="replace",
            timeout=DEADLINE_S,
            echo=False,
        )
        self._child.delaybeforesend = None
        self._seen = ""
        self._looked = 0

    def until(self, pattern: str) -> str:
        """The first text of that pattern that was shown since the last one was looked for."""
        begun_s = monotonic()
        while (found := re.compile(pattern).search(self.text, self._looked)) is None:
            assert monotonic() - begun_s < DEADLINE_S, f"'{pattern}' was not shown:\n{self.text[-4000:]}"
            try:
                self._seen += self._child.read_nonblocking(65_536, timeout=1)
            except pexpect.TIMEOUT:
                continue
            except pexpect.EOF:
                raise AssertionError(f"it ended before '{pattern}' was shown:\n{self.text[-4000:]}") from None
        self._looked = found.end()
        return found[0]

    def press(self, keys: str) -> None:
        self._child.send(keys)

    def end(self) -> int:
        """Its exit code, once it has ended by itself."""
        self._child.expect(pexpect.EOF)
        self._seen += str(self._child.before)
        self._child.close()
        assert self._child.exitstatus is not None, f"it died of signal {self._child.signalstatus}:\n{self.text}"
        return int(self._child.exitstatus)

    def close(self) -> None:
        self._child.close(force=True)

    @property
    def raw(self) -> str:
        """All that was shown, as it came."""
        return self._seen

    @property
    def text(self) -> str:
        """All that was shown, without what only a terminal reads."""
        return _ESCAPES.sub("", self._seen).replace("\r\n", "\n").replace("\r", "\n")

    @property
    def widest(self) -> int:
        """Cells of the longest line."""
        return max(cell_len(line) for line in self.text.splitlines())

    @property
    def coloured(self) -> bool:
        """Whether anything but bold, dim and plain was asked for."""
        codes = {code for each in _COLOURS.findall(self._seen) for code in each[2:-1].split(";")}
        return any(code.isdecimal() and 30 <= int(code) <= 107 for code in codes)


class Desk:
    """A folder, an environment, and terminals in it."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.folder = folder
        self.env = env
        self._opened: list[Terminal] = []

    def __call__(self, *words: object, columns: int = 100, **env: str) -> Terminal:
        """`batchrouter WORDS` in a terminal."""
        return self.command([sys.executable, "-m", "batchrouter.cli", *map(str, words)], columns=columns, **env)

    def sh(self, script: str, columns: int = 100, **env: str) -> Terminal:
        """A line of shell, in which `batchrouter` is the command."""
        return self.command(
            ["sh", "-c", f'batchrouter() {{ "{sys.executable}" -m batchrouter.cli "$@"; }}; {script}'],
            columns=columns,
            **env,
        )

    def command(self, command: list[str], columns: int = 100, **env: str) -> Terminal:
        made = Terminal(command, self.folder, {**self.env, **env}, columns)
        self._opened.append(made)
        return made

    def close(self) -> None:
        for each in self._opened:
            each.close()


class Valve:
    """A link to a server that lets so many bytes through in each direction, and then none until it is opened."""

    def __init__(self, url: str, *, up: int | None = None, down: int | None = None) -> None:
        self._to = (urlsplit(url).hostname or "", urlsplit(url).port or 80)
        self._open = threading.Event()
        self._left = {"up": up, "down": down}
        self._lock = threading.Lock()
        self.held = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._sockets: list[socket.socket] = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def open(self) -> None:
        self._open.set()

    def close(self) -> None:
        self._open.set()
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._to)
                self._sockets += [near, far]
                threading.Thread(target=self._carry, args=(near, far, "up"), daemon=True).start()
                threading.Thread(target=self._carry, args=(far, near, "down"), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, way: str) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                with self._lock:
                    left = self._left[way]
                    if left is not None:
                        self._left[way] = max(0, left - len(data))
                if left is not None and left < len(data) and not self._open.is_set():
                    target.sendall(data[:left])
                    data = data[left:]
                    self.held.set()
                    self._open.wait(DEADLINE_S)
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


@contextmanager
def valve(url: str, **bytes_of: int) -> Iterator[Valve]:
    """`up`, `down`: how many bytes go through."""
    made = Valve(url, **bytes_of)
    try:
        yield made
    finally:
        made.close()


def until(condition: Callable[[], object]) -> None:
    """Look until it is so."""
    begun_s = monotonic()
    while not condition():
        assert monotonic() - begun_s < DEADLINE_S, "it never came to that"
        sleep(0.02)


def environment(folder: Path, **more: str) -> dict[str, str]:
    """A terminal with colours, and nothing of whoever runs the tests."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PYTHONPATH": os.pathsep.join(part for part in sys.path if part),
        "TERM": "xterm-256color",
        "LANG": "C.UTF-8",
        **more,
    }
