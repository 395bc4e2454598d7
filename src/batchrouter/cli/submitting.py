"""`batchrouter submit`: a file or a table becomes a batch of a server; the same again finds the batch that it made.

Standard output holds the batch's id alone, as soon as there is one; everything else goes to standard error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from batchrouter.bootstrap.local import now_s
from batchrouter.cli.facts import FAULTS_SHOWN, clean, long_span
from batchrouter.cli.following import Follow, follow
from batchrouter.cli.place import ServerOptions
from batchrouter.cli.reading import InputRead, read_input
from batchrouter.cli.run_files import PIPE, RunFiles
from batchrouter.cli.server import ABSENT, Server
from batchrouter.cli.source import Source
from batchrouter.cli.submission import Submission, mark_of
from batchrouter.cli.told import BatchTold, FileTold
from batchrouter.cli.uploading import delete_file, upload
from batchrouter.cli.words import INTERRUPTED, OK, count, emit, lines, say, tell
from batchrouter.domain.batch import BatchError
from batchrouter.errors import ApiError, InputError
from batchrouter.tables import Form

TAKEN = "idempotency_key_in_use"


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitOptions:
    """`asked`: members of the request beside the file, the endpoint and `metadata`, as they go over the wire. `files`:
    where answers go; None: nowhere."""

    server: ServerOptions
    source: Source
    endpoint: str | None = None
    asked: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    key: str | None = None
    again: bool = False
    check: bool = True
    wait: bool = False
    files: RunFiles | None = None
    json: bool = False


class _WhileItWasMade(KeyboardInterrupt):
    """The server may have made the batch."""


def output_files(source: Path, output: Path | None, errors: Path | None, to: Form | None) -> RunFiles | None:
    """Raises `InputError` for names that cannot be meant."""
    if output is None and errors is not None:
        raise InputError("--errors needs -o: it is where lines that failed go, beside the answers")
    return None if output is None else RunFiles.of(source, output, errors, to)


def submit(options: SubmitOptions) -> int:
    server = Server.of(options.server)
    if options.files is not None and options.files.piped and options.json:
        raise InputError("-o - and --json both want standard output; name a file for one of them")
    try:
        batch, fresh = _begin(server, options)
    except KeyboardInterrupt as error:
        if isinstance(error, _WhileItWasMade):
            say("Interrupted while the batch was made. The same command finds it, or makes it.")
        else:
            say("Interrupted before there was a batch; nothing is kept. The same command begins anew.")
        if options.json:
            emit({"ok": False, "exit_code": INTERRUPTED})
        return INTERRUPTED
    piped = options.files is not None and options.files.piped
    if not options.json:
        (say if piped else tell)(batch.id)
    if not options.wait and options.files is None:
        if options.json:
            told = {"ok": True, "id": batch.id, "created": fresh, "dashboard": server.dashboard(batch.id)}
            emit({**told, "batch": server.raw_batch(batch.id)})
        else:
            say(f"  {server.dashboard(batch.id)}\n  `batchrouter wait {batch.id}` waits for it.")
        return OK
    return follow(
        server, batch.id, Follow(files=options.files, source=options.source, json=options.json, created=fresh)
    )


def _begin(server: Server, options: SubmitOptions) -> tuple[BatchTold, bool]:
    """The batch, and whether it was made now."""
    source = options.source
    read = read_input(source, options.endpoint, check=options.check)
    _refuse(source, read.errors, read.error_count, "nothing was sent")
    for note in source.notes():
        say(note)
    asked = {"endpoint": read.endpoint, **options.asked}
    if "resume_from" in asked:
        asked["resume_from"] = server.find(str(asked["resume_from"]))
    mark = options.key or mark_of(read.digest, {**asked, "metadata": dict(options.metadata)})
    submission = Submission(server, mark, given=options.key is not None, again=options.again)
    made = submission.made()
    if made is not None:
        _tell_made(made)
        return made, False
    file = upload(server, source, read)
    try:
        if options.check:
            _check_there(server, source, file, read)
        return _create(server, submission, file, {**asked, "metadata": submission.metadata(options.metadata)})
    except BaseException:
        delete_file(server, file.id)
        raise


def _create(server: Server, submission: Submission, file: FileTold, body: dict[str, Any]) -> tuple[BatchTold, bool]:
    if not body["metadata"]:
        del body["metadata"]
    try:
        batch = msgspec.convert(
            server.post("/v1/batches", {"input_file_id": file.id, **body}, key=submission.key()), BatchTold
        )
    except KeyboardInterrupt as error:
        raise _WhileItWasMade from error
    except ApiError as error:
        made = submission.made() if error.code == TAKEN else None  # somebody was quicker
        if made is None:
            raise
        delete_file(server, file.id)
        _tell_made(made)
        return made, False
    _require_known(server, batch, body)
    say(f"Submitted {lines(file.num_rows or 0)} ({count(file.bytes)} bytes) to {server.url}")
    return batch, True


def _tell_made(batch: BatchTold) -> None:
    age_s = max(0.0, now_s() - batch.created_at)
    say(f"Submitted {long_span(age_s)} ago already, and {batch.state}; --again makes a new batch.")


def _check_there(server: Server, source: Source, file: FileTold, read: InputRead) -> None:
    """What only the server's configuration tells. An older server tells it when the batch has failed."""
    try:
        told = server.get(f"/v1/files/{file.id}/check", {"endpoint": read.endpoint})
    except ApiError as error:
        if error.status in ABSENT:
            return
        raise
    errors = [msgspec.convert(each, BatchError) for each in told["errors"]]
    _refuse(source, tuple(errors), told.get("error_count", len(errors)), "no batch was made")


def _refuse(source: Source, errors: tuple[BatchError, ...], error_count: int, so: str) -> None:
    if not errors:
        return
    told = [
        clean(f"  {f'{source.noun} {error.line}: ' if error.line else ''}{error.code}: {error.message}")
        for error in errors[:FAULTS_SHOWN]
    ]
    if error_count > len(told):
        told.append(f"  and {count(error_count - len(told))} more")
    found = "1 error" if error_count == 1 else f"{count(error_count)} errors"
    raise InputError("\n".join((f"{source.name} has {found}; {so} (--no-check submits it all the same):", *told)))


def _require_known(server: Server, batch: BatchTold, body: Mapping[str, Any]) -> None:
    """A server that does not know what was asked for would do without it, which may cost money."""
    extra = batch.batchrouter
    told = {
        "max_cost": extra.max_cost,
        "priority": extra.priority,
        "dedupe": extra.dedupe,
        "resume_from": extra.resume_from,
    }
    for name, value in told.items():
        if name in body and value != body[name] and not batch.final:
            server.act(batch.id, "cancel")
            option = "--" + name.replace("_", "-")
            raise InputError(f"the server at {server.url} is too old for {option}; {batch.id} was cancelled at once")


__all__ = ["PIPE", "SubmitOptions", "output_files", "submit"]
