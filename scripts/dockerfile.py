"""Reading our Dockerfile and .dockerignore: what rehearses a build and what checks the files share this."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Step:
    """One instruction with its options (`--from=build`) apart from what follows them."""

    word: str
    value: str
    options: dict[str, str] = field(default_factory=dict)

    @property
    def words(self) -> list[str]:
        """Of the exec form if it is one, else as a shell would cut them."""
        return self.exec_form or shlex.split(self.value)

    @property
    def exec_form(self) -> list[str] | None:
        if not self.value.startswith("["):
            return None
        return [str(word) for word in json.loads(self.value)]


@dataclass(slots=True)
class Stage:
    base: str
    name: str
    steps: list[Step] = field(default_factory=list)

    def last(self, word: str) -> Step:
        """The one that counts of instructions that may stand there several times. Raises LookupError."""
        found = [step for step in self.steps if step.word == word]
        if not found:
            raise LookupError(f"the stage from {self.base} has no {word}")
        return found[-1]


def stages(text: str) -> list[Stage]:
    """The stages of a Dockerfile, in order. Heredocs and parser directives are not known to it."""
    found: list[Stage] = []
    for line in _lines(text):
        word, _, rest = line.partition(" ")
        word, rest, options = word.upper(), rest.strip(), {}
        if word in ("FROM", "COPY", "ADD", "RUN", "HEALTHCHECK"):
            while match := re.match(r"--([\w-]+)=(\S+)\s+", rest):
                options[match[1]] = match[2]
                rest = rest[match.end() :]
        if word == "HEALTHCHECK":
            rest = rest.removeprefix("CMD").strip()
        if word == "FROM":
            base, _, name = re.sub(r"(?i)\s+as\s+", "\0", rest).partition("\0")
            found.append(Stage(base, name))
        elif not found:
            raise ValueError(f"{word} stands before the first FROM")
        else:
            found[-1].steps.append(Step(word, rest, options))
    return found


def _lines(text: str) -> Iterator[str]:
    """Instructions on one line each; comments may stand between the lines of one."""
    held = ""
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        held += line.strip()
        if held.endswith("\\"):
            held = held[:-1].rstrip() + " "
        else:
            yield held
            held = ""


class Ignore:
    """What a .dockerignore leaves out of the build: of the patterns that fit a path, the last one decides."""

    def __init__(self, text: str) -> None:
        self._rules: list[tuple[re.Pattern[str], bool]] = []
        for line in text.splitlines():
            pattern = line.strip()
            if pattern and not pattern.startswith("#"):
                kept = pattern.startswith("!")
                self._rules.append((_glob(pattern.lstrip("!").strip("/")), kept))

    def __call__(self, path: str) -> bool:
        ignored = False
        for pattern, kept in self._rules:
            if pattern.match(path):
                ignored = not kept
        return ignored

    def files(self, root: Path, under: str) -> list[Path]:
        """Files below `root`/`under`, or that one file, which are let into the build; relative to `root`."""
        start = root / under
        inside = [start] if start.is_file() else sorted(path for path in start.rglob("*") if path.is_file())
        found = [path.relative_to(root) for path in inside]
        return [path for path in found if not self(path.as_posix())]


def _glob(pattern: str) -> re.Pattern[str]:
    """`*` stays within a name, `**` does not; a pattern that fits a folder fits all that is in it."""
    parts = []
    for part in re.split(r"(\*\*/?|\*|\?|\[[^]]+\])", pattern):
        if part.startswith("**"):
            parts.append("(?:.*/)?" if part.endswith("/") else ".*")
        elif part == "*":
            parts.append("[^/]*")
        elif part == "?":
            parts.append("[^/]")
        else:
            parts.append(part if part.startswith("[") else re.escape(part))
    return re.compile("".join(parts) + r"(?:/.*)?\Z")
