"""`batchrouter run`: what comes before and after a job: is it begun, may its output be written, is it still the same.

Whatever ends the process, the same command goes on from there; what has been answered is not asked again.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import uvloop

from batchrouter.bootstrap.embedded import Embedded
from batchrouter.bootstrap.folders import holding, scratch_in
from batchrouter.cli.delivery import check_form
from batchrouter.cli.job import WINDOW, Job, changed
from batchrouter.cli.line_file import index_into
from batchrouter.cli.run_files import Placed, RunFiles
from batchrouter.cli.sameness import fingerprint
from batchrouter.cli.settings import NO_PROVIDER, load_config
from batchrouter.cli.source import FileSource, Source
from batchrouter.cli.summary import Summary, summary_lines
from batchrouter.cli.words import emit, say, tell
from batchrouter.config import Config
from batchrouter.errors import ConfigError, FolderError, InputError
from batchrouter.tables import FileBytes

NO_LIMIT = 2**53
MARK_CHARS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """`wait`: for a person, where only a person can make a lane go on. `force`: overwrite an earlier output. `source`:
    else the file's own lines."""

    files: RunFiles
    source: Source | None = None
    config: Path | None = None
    endpoint: str | None = None
    wait: bool = False
    force: bool = False
    json: bool = False


def run(options: RunOptions) -> int:
    """The exit code. Raises `BatchRouterError` for what cannot be begun or continued."""
    config = _for_a_run(load_config(options.config))
    source, files = options.source or FileSource(FileBytes(options.files.source)), options.files
    if not config.providers:
        raise ConfigError(NO_PROVIDER)
    if options.endpoint is not None and options.endpoint not in config.endpoints:
        raise ConfigError(f"endpoint '{options.endpoint}' is not known; known are {', '.join(config.endpoints)}")
    check_form(files.form)
    if files.piped:
        files = replace(files, mark=_fingerprint(source, config)[:MARK_CHARS])
    files.refuse_foreign_state()
    placed = _finished_before(files, source, config)
    if placed is not None:
        _show(placed.summary, options)
        return placed.summary.exit_code
    if not _is_begun(files, source, config):
        if files.state.exists():  # of a run that died before it sent anything, or when all that was left was this
            with _holding(files):
                files.clear()
        if not options.force:
            files.refuse_to_overwrite()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        summary = runner.run(_work(options, files, source, config))
    _show(summary, options)
    return summary.exit_code


async def _work(options: RunOptions, files: RunFiles, source: Source, config: Config) -> Summary:
    with _held_by_another(files):
        embedded = Embedded(config, files.state, os.environ)
    return await Job(embedded, files, source, endpoint=options.endpoint, wait=options.wait).run()


@contextmanager
def _held_by_another(files: RunFiles) -> Iterator[None]:
    """In the words of a run: whoever holds its state is another run."""
    try:
        yield
    except FolderError as error:
        if error.__cause__ is not None:  # it cannot be used at all
            raise
        what = f"has {files.state}" if files.piped else f"writes {files.output}"
        raise FolderError(f"another run {what} at this moment; wait until it ends") from None


@contextmanager
def _holding(files: RunFiles) -> Iterator[None]:
    with _held_by_another(files), holding(files.state):
        yield


def _for_a_run(config: Config) -> Config:
    """Without the limits of a server that is shared, and without a deadline."""
    batches = msgspec.structs.replace(
        config.batches,
        completion_windows=(WINDOW,),
        max_lines=NO_LIMIT,
        max_bytes=NO_LIMIT,
        max_embedding_inputs=NO_LIMIT,
    )
    return msgspec.structs.replace(config, batches=batches)


def _finished_before(files: RunFiles, source: Source, config: Config) -> Placed | None:
    """A run that died when its output was in place: clear up after it. None when the input is another one by now."""
    if files.placed() is None:
        return None
    with _holding(files):
        placed = files.placed()
        files.clear()
    if placed is None:
        return None
    return placed if _fingerprint(source, config) == placed.fingerprint else None


def _fingerprint(source: Source, config: Config) -> str:
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile(dir=folder) as file:
        spill = scratch_in(Path(folder))
        return fingerprint(index_into(source.chunks(), file, spill, config.batches.max_line_bytes))


def _is_begun(files: RunFiles, source: Source, config: Config) -> bool:
    """Whether there is a run to continue. Raises `InputError` when it was begun with another input."""
    if not files.index.is_file():
        return False
    found = changed(files, source, config)
    if found is not None:
        raise InputError(
            f"{source.name} is not the input that {files.state} was begun with: {found}. Put the old input back to "
            "continue, or choose another output; to begin anew and lose the answers of that run, remove the folder"
        )
    return True


def _show(summary: Summary, options: RunOptions) -> None:
    if options.json:
        emit(summary)
    elif options.files.piped:
        say("\n".join(summary_lines(summary)))
    else:
        tell("\n".join(summary_lines(summary)))
