"""The files of a run, and how its output gets into place: whole or not at all, whenever the process dies.

    IN.jsonl                  what is asked
    OUT.jsonl                 the answers, in input order; there only when the run is over
    OUT.jsonl.errors.jsonl    lines that failed; there only when the run is over and some did
    OUT.jsonl.batchrouter/    the state of a run that is not over

A table, and what goes to standard output, has every line of the input in it, so a file of errors is made only where
one was named. What goes to standard output has its state in the working folder, under a name that the input gives.

The state folder holds a data folder (database, blobs, lock) and beside it the line index of the input that the run was
begun with. Once the output is in place `placed.json` says so; from then on only the removal of the folder is left.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec

from batchrouter.cli.summary import Summary
from batchrouter.errors import InputError
from batchrouter.tables import Form, form_of

PIPE = Path("-")
INDEX_NAME = "input.idx"
PLACED_NAME = "placed.json"
LOCK_NAME = "lock"


class Placed(msgspec.Struct):
    """The run is over: what it was asked (`fingerprint` of the input) and what it came to."""

    fingerprint: str
    summary: Summary


@dataclass(frozen=True, slots=True)
class RunFiles:
    """`source` and `output` may be `PIPE`, standard input and output; then `mark` tells inputs apart. `errors`: None
    where no file of them is wanted."""

    source: Path
    output: Path
    errors: Path | None
    form: Form = Form.JSONL
    mark: str = ""

    @classmethod
    def of(cls, source: Path, output: Path, errors: Path | None, to: Form | None = None) -> RunFiles:
        """`to`: the form of the output, which else the ending of its name tells. Raises `InputError` for names that
        cannot be meant."""
        form = to or form_of(output) or Form.JSONL
        if errors is None and form is Form.JSONL and output != PIPE:
            errors = output.with_name(f"{output.name}.errors.jsonl")
        files = cls(source, output, errors, form)
        if source != PIPE and not source.is_file():
            raise InputError(f"{source} is no file that can be read; name the file with the requests")
        named = [path for path in (source, output, errors) if path is not None and path != PIPE]
        if len({path.resolve() for path in named}) < len(named):
            raise InputError("input, output and errors must be three different files")
        for path in files.made:
            if path.is_dir():
                raise InputError(f"{path} is a folder; name a file")
            if not path.parent.is_dir():
                raise InputError(f"there is no folder {path.parent} to write {path.name} into; make it first")
        return files

    @property
    def piped(self) -> bool:
        """Whether the output goes to standard output."""
        return self.output == PIPE

    @property
    def made(self) -> tuple[Path, ...]:
        """The files that stand where people named them when the run is over."""
        return tuple(path for path in (self.output, self.errors) if path is not None and path != PIPE)

    @property
    def whole(self) -> bool:
        """Whether the output has every line of the input, failed ones too."""
        return self.form is not Form.JSONL or (self.piped and self.errors is None)

    @property
    def state(self) -> Path:
        if self.piped:
            return Path(f"stdout-{self.mark}.batchrouter")
        return self.output.with_name(f"{self.output.name}.batchrouter")

    @property
    def index(self) -> Path:
        return self.state / INDEX_NAME

    def refuse_foreign_state(self) -> None:
        """Raises `InputError` when the state's place is taken by something that no run has made."""
        if self.state.exists() and not (self.state.is_dir() and (self.state / LOCK_NAME).exists()):
            if self.state.is_dir() and not any(self.state.iterdir()):
                return
            raise InputError(
                f"{self.state} is in the way: it is not the state of a run. Move it, or choose another output"
            )

    def refuse_to_overwrite(self) -> None:
        """Raises `InputError` when a file of an earlier run stands where this one would write."""
        for path in self.made:
            if path.exists():
                raise InputError(
                    f"{path} is already there, and no unfinished run belongs to it; "
                    "choose another output, move it away, or overwrite it with --force"
                )

    def placed(self) -> Placed | None:
        """What a run that was over before it could clear up has left; None also when its output was taken away."""
        try:
            placed = msgspec.json.decode((self.state / PLACED_NAME).read_bytes(), type=Placed)
        except (OSError, msgspec.DecodeError):
            return None
        return placed if self.output.exists() else None

    def place(self, new_output: Path, new_errors: Path | None, placed: Placed) -> None:
        """Put the finished files into place and note that they are. A repeat does the same again."""
        self.place_errors(new_errors)
        new_output.replace(self.output)
        sync_folder(self.output.parent)
        write_whole(self.state / PLACED_NAME, [msgspec.json.encode(placed)])

    def place_errors(self, new_errors: Path | None) -> None:
        if self.errors is None:
            return
        if new_errors is not None:
            new_errors.replace(self.errors)
        else:
            self.errors.unlink(missing_ok=True)  # of an earlier run: --force was given
        sync_folder(self.errors.parent)

    def clear(self) -> None:
        """Remove the state. The note that the output is in place goes last."""
        if not self.state.is_dir():
            return
        for entry in sorted(os.scandir(self.state), key=lambda entry: entry.name):
            if entry.name in (PLACED_NAME, LOCK_NAME):
                continue
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)
        (self.state / PLACED_NAME).unlink(missing_ok=True)
        (self.state / LOCK_NAME).unlink(missing_ok=True)
        self.state.rmdir()


def part_of(path: Path) -> Path:
    """Where a file is written before it is renamed to `path`. The state folder's lock keeps others from it."""
    return path.with_name(f".{path.name}.part")


class PartWriter:
    """A file that is written beside its place. `close` makes it durable; it is renamed later, or left for the next
    run to write again."""

    def __init__(self, path: Path) -> None:
        self.path = part_of(path)
        self._file = self.path.open("wb")

    @property
    def file(self) -> BinaryIO:
        return self._file

    def write(self, data: bytes) -> None:
        self._file.write(data)

    def close(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def abandon(self) -> None:
        """Harmless after `close`, and when the file has been renamed."""
        self._file.close()
        self.path.unlink(missing_ok=True)


def write_whole(path: Path, parts: list[bytes]) -> None:
    """Durable, and never there in part."""
    writer = PartWriter(path)
    for part in parts:
        writer.write(part)
    writer.close()
    writer.path.replace(path)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
