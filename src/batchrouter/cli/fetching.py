"""`batchrouter fetch`: the answers of a finished batch, whole or not at all, and as often as wanted."""

from __future__ import annotations

import filecmp
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from batchrouter.bootstrap.local import now_s
from batchrouter.cli.content import file_of, head_of, lines_of, loaded, settle
from batchrouter.cli.delivery import check_form, pour, write_answers
from batchrouter.cli.facts import digest, fact, faults
from batchrouter.cli.failures import Failure, FailureDigest
from batchrouter.cli.lost import LINE_BYTES, failures_of
from batchrouter.cli.merging import Merged, in_line_order
from batchrouter.cli.place import ServerOptions
from batchrouter.cli.run_files import PIPE, RunFiles, part_of
from batchrouter.cli.server import Server
from batchrouter.cli.source import Source
from batchrouter.cli.told import BatchTold, FileTold
from batchrouter.cli.words import INTERRUPTED, OK, SOME_FAILED, emit, say, tell
from batchrouter.errors import InputError
from batchrouter.tables import Form

PATIENCE_S = 600.0
CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchOptions:
    """`output` None: a file named after the batch. `merged`: failed lines too, in one file."""

    server: ServerOptions
    id: str
    output: Path | None = None
    errors: Path | None = None
    to: Form | None = None
    merged: bool = False
    force: bool = False
    json: bool = False


def fetch(options: FetchOptions) -> int:
    server = Server.of(options.server, patience_s=PATIENCE_S)
    batch_id = server.find(options.id)
    files = RunFiles.of(PIPE, options.output or Path(f"{batch_id}.jsonl"), options.errors, options.to)
    if files.piped and options.json:
        raise InputError("-o - and --json both want standard output; name a file for one of them")
    try:
        fetched = Fetch(server, files, merged=options.merged, force=options.force).fetch(server.batch(batch_id))
    except KeyboardInterrupt:
        if options.json:
            emit({"ok": False, "exit_code": INTERRUPTED, "id": batch_id})
        return INTERRUPTED
    show_fetched(fetched, as_json=options.json, piped=files.piped)
    return fetched.exit_code


@dataclass(frozen=True, slots=True)
class Fetched:
    """`already`: the files stood there, and are left as they were. Paths are None where there is no such file."""

    batch: BatchTold
    output: Path | None = None
    errors: Path | None = None
    failures: list[Failure] = field(default_factory=list)
    already: bool = False

    @property
    def exit_code(self) -> int:
        return OK if self.batch.all_well else SOME_FAILED

    @property
    def told(self) -> dict[str, Any]:
        counts = self.batch.request_counts
        return {
            "ok": self.exit_code == OK,
            "exit_code": self.exit_code,
            "id": self.batch.id,
            "status": self.batch.status,
            "total": counts.total,
            "completed": counts.completed,
            "failed": counts.failed,
            "output": None if self.output is None else str(self.output),
            "errors": None if self.errors is None else str(self.errors),
            "already_there": self.already,
            "failures": msgspec.to_builtins(self.failures),
        }

    def words(self) -> Iterator[str]:
        yield fact(self.batch, now_s())
        yield from faults(self.batch)
        yield from digest(self.failures)
        there = "  (it was there already)" if self.already else ""
        for name, path in (("output", self.output), ("errors", self.errors)):
            if path is not None:
                yield f"  {name:<9} {path}{there}"


def show_fetched(fetched: Fetched, *, as_json: bool, piped: bool) -> None:
    if as_json:
        emit(fetched.told)
    else:
        (say if piped else tell)("\n".join(fetched.words()))


class Fetch:
    """`merged`: every line in one file, also where failed ones would have a file of their own. `source`: what the batch
    was made of, where that is at hand; a table of answers is put beside it."""

    def __init__(
        self,
        server: Server,
        files: RunFiles,
        *,
        merged: bool = False,
        force: bool = False,
        source: Source | None = None,
    ) -> None:
        self._server = server
        self._files = files
        self._merged = merged or files.whole
        self._force = force
        self._source = source

    def fetch(self, batch: BatchTold) -> Fetched:
        """Raises `InputError` for a batch that is not over, and for a file in the way that is not this batch's; and
        `KeyboardInterrupt`, after what is kept was said."""
        if not batch.final:
            raise InputError(
                f"{batch.id} is not over: {batch.state}, {batch.request_counts.done}/{batch.request_counts.total}. "
                f"`batchrouter wait {batch.id}` waits for it, `batchrouter tail -f {batch.id}` shows what is finished"
            )
        if batch.status == "failed" and batch.output_file_id is None and batch.error_file_id is None:
            return Fetched(batch)  # refused before a line of it was sent
        check_form(self._files.form)
        answered, failed = (
            None if file_id is None else file_of(self._server, file_id)
            for file_id in (batch.output_file_id, batch.error_file_id)
        )
        with self._telling():
            if self._files.piped:
                return self._pour(batch, answered, failed)
            return self._place_merged(batch, answered, failed) if self._merged else self._place(batch, answered, failed)

    # --- to standard output -----------------------------------------------------------------------------------------

    def _pour(self, batch: BatchTold, answered: FileTold | None, failed: FileTold | None) -> Fetched:
        errors = self._files.errors if not self._merged and failed is not None else None
        if errors is not None:
            self._refuse_other(errors, failed)
            with loaded(self._server, failed, errors) as part:
                self._settle(part, errors)
        if self._files.form is Form.JSONL:
            files = (answered, failed) if self._merged else (answered,)
            for line in in_line_order(*(lines_of(self._server, file) for file in files)):
                sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()
        else:
            with tempfile.TemporaryDirectory() as folder:
                whole = Path(folder) / "whole"
                with loaded(self._server, answered, whole) as good, loaded(self._server, failed, whole) as bad:
                    self._write(whole, good, bad)
                pour(whole)
        return Fetched(batch, None, errors, failures_of(self._server, batch))

    # --- to files ---------------------------------------------------------------------------------------------------

    def _place(self, batch: BatchTold, answered: FileTold | None, failed: FileTold | None) -> Fetched:
        output, errors = self._files.output, self._files.errors
        assert errors is not None
        there = self._refuse_other(output, answered) & self._refuse_other(errors, failed)
        errors_told = errors if failed is not None else None
        if there:
            return Fetched(batch, output, errors_told, _digest_of(errors_told), already=True)
        with loaded(self._server, answered, output) as good, loaded(self._server, failed, errors) as bad:
            if bad is not None:
                self._settle(bad, errors)
            else:
                errors.unlink(missing_ok=True)  # of another batch: --force was given
            self._settle(good, output)  # last: where it is, all is
        return Fetched(batch, output, errors_told, _digest_of(errors_told))

    def _place_merged(self, batch: BatchTold, answered: FileTold | None, failed: FileTold | None) -> Fetched:
        output = self._files.output
        if self._files.form is Form.JSONL and self._refuse_other(output, answered, failed):
            return Fetched(batch, output, None, failures_of(self._server, batch), already=True)
        with loaded(self._server, answered, output) as good, loaded(self._server, failed, output) as bad:
            failures = _digest_of(bad)
            whole = part_of(output)
            try:
                self._write(whole, good, bad)
                already = self._settle(whole, output)
            finally:
                whole.unlink(missing_ok=True)
        return Fetched(batch, output, None, failures, already)

    def _write(self, whole: Path, good: Path | None, bad: Path | None) -> None:
        """Every line of the input once, in its order."""
        with whole.open("wb") as file:
            if self._source is not None or self._files.form is not Form.JSONL:
                source = self._source or Merged(str(self._files.output), good, bad)
                write_answers(source, self._files.form, good, bad, None, file)
                return
            for line in Merged("", good, bad).chunks():
                file.write(line)

    def _settle(self, part: Path | None, path: Path) -> bool:
        """Whether the same file stood there. Raises `InputError` when another did."""
        if part is None:
            part = part_of(path)
            part.touch()
        if path.exists() and not self._force:
            if filecmp.cmp(part, path, shallow=False):
                return True
            raise _in_the_way(path)
        settle(part, path)
        return False

    def _refuse_other(self, path: Path, *files: FileTold | None) -> bool:
        """Whether it stands there as it should, as far as its size and its beginning tell, which is asked before
        anything is loaded. Raises `InputError` when another file does."""
        found = [file for file in files if file is not None]
        if self._force or not path.exists():
            return not found and not path.exists() and path != self._files.output
        if path.stat().st_size != sum(file.bytes for file in found):
            raise _in_the_way(path)
        heads = [head_of(self._server, file).split(b"\n", 1)[0] for file in found if file.bytes]
        with path.open("rb") as file:
            begins = file.read(max(map(len, heads), default=0))
        if heads and not any(begins.startswith(head) for head in heads):
            raise _in_the_way(path)
        return bool(found) or path == self._files.output

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except KeyboardInterrupt:
            kept = "" if self._files.piped else f" What came of {self._files.output} is kept beside it;"
            say(f"Interrupted.{kept} the same command goes on." if kept else "Interrupted.")
            raise


def _digest_of(path: Path | None) -> list[Failure]:
    found = FailureDigest(LINE_BYTES)
    if path is not None:
        file: BinaryIO
        with path.open("rb") as file:
            while data := file.read(CHUNK_BYTES):
                found.feed(data)
    return found.failures


def _in_the_way(path: Path) -> InputError:
    return InputError(
        f"{path} is already there, and it is not this batch's; choose another output, move it away, or overwrite it "
        "with --force"
    )
