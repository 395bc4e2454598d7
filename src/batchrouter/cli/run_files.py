"""The files of a run, and how its output gets into place: whole or not at all, whenever the process dies.

    IN.jsonl                  what is asked
    OUT.jsonl                 the answers, in input order; there only when the run is over
    OUT.jsonl.errors.jsonl    lines that failed; there only when the run is over and some did
    OUT.jsonl.batchrouter/    the state of a run that is not over

The state folder holds a data folder (database, blobs, lock) and beside it the line index of the input that the run was
begun with. Once the output is in place `placed.json` says so; from then on only the removal of the folder is left.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import msgspec

from batchrouter.cli.summary import Summary
from batchrouter.errors import InputError

INDEX_NAME = "input.idx"
PLACED_NAME = "placed.json"
LOCK_NAME = "lock"


class Placed(msgspec.Struct):
    """The run is over: what it was asked (`fingerprint` of the input) and what it came to."""

    fingerprint: str
    summary: Summary


@dataclass(frozen=True, slots=True)
class RunFiles:
    source: Path
    output: Path
    errors: Path

    @classmethod
    def of(cls, source: Path, output: Path, errors: Path | None) -> RunFiles:
        """Raises `InputError` for names that cannot be meant."""
        files = cls(source, output, errors or output.with_name(f"{output.name}.errors.jsonl"))
        if not source.is_file():
            raise InputError(f"{source} is no file that can be read; name the JSONL file with the requests")
        names = [path.resolve() for path in (source, files.output, files.errors)]
        if len(set(names)) < len(names):
            raise InputError("input, output and errors must be three different files")
        for path in (files.output, files.errors):
            if path.is_dir():
                raise InputError(f"{path} is a folder; name a file")
            if not path.parent.is_dir():
                raise InputError(f"there is no folder {path.parent} to write {path.name} into; make it first")
        return files

    @property
    def state(self) -> Path:
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
        for path in (self.output, self.errors):
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
        if new_errors is not None:
            new_errors.replace(self.errors)
        else:
            self.errors.unlink(missing_ok=True)  # of an earlier run: --force was given
        sync_folder(self.errors.parent)
        new_output.replace(self.output)
        sync_folder(self.output.parent)
        write_whole(self.state / PLACED_NAME, [msgspec.json.encode(placed)])

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
