"""`batchrouter check`: every error of an input file, offline, in bounded memory however long the file is."""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec

from batchrouter.bootstrap.folders import scratch_in
from batchrouter.bootstrap.rehearsal import Rehearsal
from batchrouter.bootstrap.wires import options_of
from batchrouter.bootstrap.wiring import batch_limits
from batchrouter.cli.line_file import LocalIndex, index_into
from batchrouter.cli.reading import any_router
from batchrouter.cli.settings import load_config
from batchrouter.cli.source import FileSource
from batchrouter.cli.words import OK, SOME_FAILED, count, lines, tell
from batchrouter.config import Config, router_of
from batchrouter.domain.batch import BatchError
from batchrouter.domain.line import decode_line
from batchrouter.domain.line_index import IndexRecord
from batchrouter.domain.planning import NO_GROUP
from batchrouter.domain.validation import Validation
from batchrouter.errors import ConfigError, InputError, LineRefused
from batchrouter.tables import FileBytes

BYTES_PER_TOKEN = 4
SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOptions:
    source: Path
    config: Path | None = None
    endpoint: str | None = None
    json: bool = False


class Report(msgspec.Struct, kw_only=True):
    """What stands beside the errors. `lanes` and `providers` are None when routing could not be checked; counts are
    of lines. `ways`: how they would run, with a whole completion window before them: `realtime`, `flex`, or `batch`,
    their provider's own. `dropped`: parameters that would be left out or changed, because the provider does not take
    them as they are. `tokens_estimate`: a token for every four bytes of the lines, envelopes included."""

    ok: bool
    file: str
    endpoint: str | None
    bytes: int
    lines: int
    error_count: int
    routing_checked: bool
    models: dict[str, int]
    providers: dict[str, int] | None
    lanes: dict[str, int] | None
    ways: dict[str, int] | None
    dropped: dict[str, int] | None
    tokens_estimate: int


def check(options: CheckOptions) -> int:
    """Prints everything; the exit code tells whether there were errors. Raises `ConfigError` and `InputError`."""
    config = load_config(options.config)
    if options.endpoint is not None and options.endpoint not in config.endpoints:
        raise ConfigError(f"endpoint '{options.endpoint}' is not known; known are {', '.join(config.endpoints)}")
    if not options.source.is_file():
        raise InputError(f"{options.source} is no file that can be read")
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile(dir=folder) as file:
        spill = scratch_in(Path(folder))
        index = index_into(FileSource(FileBytes(options.source)).chunks(), file, spill, config.batches.max_line_bytes)
        checking = _Checking(index, config, options)
        if options.json:
            _print_json(checking)
        else:
            _print_words(checking)
    return SOME_FAILED if checking.error_count else OK


class _Checking:
    """One pass over the index; the errors come out on the way, the report after the last of them."""

    def __init__(self, index: LocalIndex, config: Config, options: CheckOptions) -> None:
        self._index = index
        self._source = options.source
        self._config = config
        self.endpoint = options.endpoint or index.endpoint
        self.routing_checked = bool(config.providers)
        router = router_of(config) if self.routing_checked else any_router(index.names.providers[1:])
        lanes = partial(options_of, config) if self.routing_checked else None
        self._validation = Validation(index.names, index.totals, self.endpoint, router, batch_limits(config), lanes)
        self._rehearsal = Rehearsal(config, self.endpoint or "") if self.routing_checked else None
        self._dropped: Counter[str] = Counter()
        self._models: Counter[int] = Counter()
        self._lanes: Counter[int] = Counter()
        self._bytes = 0
        self.error_count = 0
        self.too_large = index.totals.lines > config.batches.max_lines or index.totals.bytes > config.batches.max_bytes

    def errors(self) -> Iterator[BatchError]:
        """In the order of the lines; those of the file as a whole last. To be read to its end."""
        for records in self._index.slices():
            places = self._validation.feed(records)
            for record, place in zip(records, places, strict=True):
                self._bytes += record.length
                if record.model:
                    self._models[record.model] += 1
                if place != NO_GROUP:
                    self._lanes[place] += 1
            faults = list(self._validation.errors_of(records)) if NO_GROUP in places else []
            faults += self._refusals(records, places)
            for error in sorted(faults, key=lambda fault: fault.line or 0):
                self.error_count += 1
                yield error
        for error in self._file_errors():
            self.error_count += 1
            yield error

    def _refusals(self, records: Sequence[IndexRecord], places: Sequence[int]) -> Iterator[BatchError]:
        """What a batch would accept, and fail when it comes to these lines."""
        if self._rehearsal is None:
            return
        with self._source.open("rb") as file:
            for record, place in zip(records, places, strict=True):
                if place == NO_GROUP:
                    continue
                group = self._validation.groups[place]
                if self._rehearsal.passes(group):
                    continue
                file.seek(record.offset)
                try:
                    self._dropped.update(self._rehearsal.encode(group, decode_line(file.read(record.length))[1]))
                except LineRefused as refused:
                    yield BatchError(code=refused.code, message=refused.message, param=refused.param, line=record.line)

    def _ways(self) -> dict[str, int]:
        ways: Counter[str] = Counter()
        for place, number in self._lanes.items():
            if self._rehearsal is not None:
                ways[self._rehearsal.way(self._validation.groups[place], number, self._lanes.total())] += number
        return dict(ways.most_common())

    def _file_errors(self) -> Iterator[BatchError]:
        yield from (error for error in self._validation.errors if error.line is None and error.code != "more_errors")
        if self.endpoint is not None and self.endpoint not in self._config.endpoints:
            yield BatchError(
                code="invalid_url",
                message=f"'{self.endpoint}', the url of the first line, is no endpoint of a batch. Known are: "
                f"{', '.join(self._config.endpoints)}.",
                param="url",
            )

    def report(self) -> Report:
        """After the errors."""
        lanes: dict[str, int] = {}
        providers: Counter[str] = Counter()
        for place, number in self._lanes.most_common():
            lane = self._validation.groups[place]
            name = f"{lane.provider}/{lane.model}"
            lanes[name] = lanes.get(name, 0) + number
            providers[lane.provider] += number
        return Report(
            ok=not self.error_count,
            file=str(self._source),
            endpoint=self.endpoint,
            bytes=self._index.totals.bytes,
            lines=self._index.totals.lines,
            error_count=self.error_count,
            routing_checked=self.routing_checked,
            models={self._index.names.models[place]: number for place, number in self._models.most_common()},
            providers=dict(providers.most_common()) if self.routing_checked else None,
            lanes=lanes if self.routing_checked else None,
            ways=self._ways() if self.routing_checked else None,
            dropped=dict(self._dropped.most_common()) if self.routing_checked else None,
            tokens_estimate=self._bytes // BYTES_PER_TOKEN,
        )


def _print_json(checking: _Checking) -> None:
    """One object; its errors are written while they are found."""
    out = sys.stdout
    out.write('{"errors":[')
    for number, error in enumerate(checking.errors()):
        out.write(("," if number else "") + msgspec.json.encode(error).decode())
    out.write("]," + msgspec.json.encode(checking.report()).decode()[1:] + "\n")
    out.flush()


def _print_words(checking: _Checking) -> None:
    for error in checking.errors():
        where = "file" if error.line is None else f"line {error.line}"
        param = f" [{error.param}]" if error.param else ""
        sys.stdout.write(f"{where}: {error.code}{param}: {error.message}\n")
    tell("\n".join(_words(checking.report())))
    if checking.too_large:
        tell("  note      too large for a batch of a server; `batchrouter run` takes files of any size")


def _words(report: Report) -> Iterator[str]:
    verdict = "no errors" if report.ok else f"{count(report.error_count)} error{'s' if report.error_count > 1 else ''}"
    yield f"{report.file}: {lines(report.lines)}, {count(report.bytes)} bytes, {verdict}"
    yield f"  endpoint  {report.endpoint or 'none: no line has a url'}"
    yield f"  tokens    about {count(report.tokens_estimate)} in (estimated: {BYTES_PER_TOKEN} bytes are a token)"
    yield from _counts("models", report.models)
    if report.lanes is None or report.providers is None:
        yield "  routing   not checked: no provider is configured"
    else:
        yield from _counts("providers", report.providers)
        yield from _counts("lanes", report.lanes)
        yield from _counts("ways", report.ways or {})
        yield from _counts("dropped", report.dropped or {})


def _counts(title: str, counts: dict[str, int]) -> Iterator[str]:
    for number, (name, lines_of_it) in enumerate(counts.items()):
        if number == SHOWN:
            yield f"            and {len(counts) - SHOWN} more"
            return
        yield f"  {title if not number else '':<9} {count(lines_of_it):>9}  {name}"
