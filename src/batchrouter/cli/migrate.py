"""`batchrouter migrate`: a data folder to PostgreSQL and a bucket."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import msgspec

from batchrouter.bootstrap.migration import Report, migrate
from batchrouter.cli.settings import load_config
from batchrouter.cli.words import OK, SOME_FAILED, count, emit, say, tell
from batchrouter.config import DATA_FOLDER

_BLOBS_TOLD = 1_000
_BYTES_TOLD = 256 * 1024 * 1024
_ROWS_TOLD = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrateOptions:
    data: Path | None
    config: Path | None
    dry_run: bool
    json: bool


def run_migration(options: MigrateOptions) -> int:
    """Raises `BatchRouterError`; interrupted or failed, it is run again."""
    config = load_config(options.config)
    folder = options.data or Path(DATA_FOLDER)
    try:
        report = asyncio.run(migrate(folder, config.storage, _Told(), dry=options.dry_run))
    except KeyboardInterrupt:
        say("Interrupted. The same command goes on from here; nothing works on half a copy.")
        raise
    if options.json:
        emit({"ok": not report.blobs_missing, **msgspec.to_builtins(report)})
    else:
        for line in _words(report):
            tell(line)
    return SOME_FAILED if report.blobs_missing else OK


class _Told:
    """Progress, a line now and then, on standard error."""

    def __init__(self) -> None:
        self._blobs_told = 0
        self._bytes_told = 0
        self._table = ""
        self._rows_told = 0

    def blobs(self, looked_at: int, copied: int, bytes: int) -> None:
        if looked_at - self._blobs_told >= _BLOBS_TOLD or bytes - self._bytes_told >= _BYTES_TOLD:
            self._blobs_told, self._bytes_told = looked_at, bytes
            say(f"{count(looked_at)} blobs looked at, {count(copied)} copied ({_mib(bytes)})")

    def rows(self, table: str, count_: int) -> None:
        if table != self._table:
            self._table, self._rows_told = table, 0
        if count_ - self._rows_told >= _ROWS_TOLD:
            self._rows_told = count_
            say(f"{count(count_)} rows of {table} copied")


def _words(report: Report) -> list[str]:
    rows = ", ".join(f"{count(number)} {table}" for table, number in report.tables.items() if number) or "none"
    running = f"; {count(report.live_batches)} of the batches have not ended" if report.live_batches else ""
    if report.already:
        told = [f"The rows of {report.source} are in {report.database} already. Nothing was changed there."]
    else:
        done = "would be copied" if report.dry else "copied"
        told = [
            f"From {report.source} to {report.database} and {report.blobs}:",
            f"  rows {done}: {rows}{running}",
            f"  blobs {done}: {count(report.blobs_copied)} ({_mib(report.bytes_copied)}); "
            f"there already: {count(report.blobs_present)}",
        ]
    if report.blobs_missing:
        told.append(
            f"  {count(report.blobs_missing)} blobs that rows name are not in the folder, so that their files "
            f"cannot be read here or there: {', '.join(report.missing)}"
        )
    if not report.dry:
        told.append(f"Counts and sizes agree. {report.source} is left as it was, and no server starts on it any more.")
    return told


def _mib(size: int) -> str:
    return f"{size / (1024 * 1024):,.1f} MiB"
