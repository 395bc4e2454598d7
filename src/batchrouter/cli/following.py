"""From a batch that was just made to its end: watched, and its answers fetched."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from batchrouter.cli.fetching import Fetch
from batchrouter.cli.run_files import RunFiles
from batchrouter.cli.server import Server
from batchrouter.cli.source import Source
from batchrouter.cli.waiting import PATIENCE_S, Watched, end_of, goes_on
from batchrouter.cli.words import INTERRUPTED, OK, SOME_FAILED, emit, say


@dataclass(frozen=True, slots=True, kw_only=True)
class Follow:
    """`files` None: nothing is fetched. `source`: of a table of answers. `created`: for machines."""

    files: RunFiles | None
    source: Source | None = None
    created: bool = True
    json: bool = False


def follow(server: Server, batch_id: str, how: Follow) -> int:
    """The exit code. Words go to standard error."""
    server.client.patience_s = PATIENCE_S
    watched = Watched(server, [batch_id])
    try:
        watched.watch()
    except KeyboardInterrupt:
        say(f"Interrupted. {goes_on(watched.batches)}\n  The same command finds it again and goes on.")
        if how.json:
            emit({"ok": False, "exit_code": INTERRUPTED, "id": batch_id, "created": how.created})
        return INTERRUPTED
    batch = watched.batches[0]
    if how.files is None:
        end = end_of(server, batch)
        code = OK if batch.all_well else SOME_FAILED
        if how.json:
            emit({"ok": code == OK, "exit_code": code, "created": how.created, **end.told})
        else:
            say("\n".join(end.lines))
        return code
    source = how.source if how.files.form != "jsonl" else None
    try:
        fetched = Fetch(server, how.files, source=source).fetch(batch)
    except KeyboardInterrupt:
        if how.json:
            emit({"ok": False, "exit_code": INTERRUPTED, "id": batch_id, "created": how.created})
        return INTERRUPTED
    if how.json:
        emit({"created": how.created, **msgspec.to_builtins(fetched.told), "dashboard": server.dashboard(batch_id)})
    else:
        say("\n".join(fetched.words()))
    return fetched.exit_code
