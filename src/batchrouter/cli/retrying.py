"""`batchrouter retry`: lines of a finished batch once more, as a new batch whose files hold every line."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from batchrouter.bootstrap.local import new_key
from batchrouter.cli.following import Follow, follow
from batchrouter.cli.place import ServerOptions
from batchrouter.cli.run_files import RunFiles
from batchrouter.cli.server import Server
from batchrouter.cli.told import BatchTold
from batchrouter.cli.words import OK, emit, say, tell


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryOptions:
    """`where`, `changes`, `asked`: as they go over the wire, without what was not given. `again`: also where the same
    was asked within a day."""

    server: ServerOptions
    id: str
    where: Mapping[str, Any] = field(default_factory=dict)
    changes: Mapping[str, Any] = field(default_factory=dict)
    asked: Mapping[str, Any] = field(default_factory=dict)
    again: bool = False
    wait: bool = False
    files: RunFiles | None = None
    json: bool = False


def retry(options: RetryOptions) -> int:
    server = Server.of(options.server)
    batch_id = server.find(options.id)
    body: dict[str, Any] = dict(options.asked)
    body |= {"where": _where(options.where)} if options.where else {}
    body |= {"set": dict(options.changes)} if options.changes else {}
    text = msgspec.json.encode({"retry": batch_id, "asked": body}, order="deterministic")
    key = new_key() if options.again else hashlib.sha256(text).hexdigest()[:32]
    with server.newer(batch_id, "retry"):
        batch = msgspec.convert(server.post(f"/v1/batches/{batch_id}/retry", body, key=key), BatchTold)
    if not options.json:
        piped = options.files is not None and options.files.piped
        (say if piped else tell)(batch.id)
    if not options.wait and options.files is None:
        if options.json:
            told = {"ok": True, "id": batch.id, "retry_of": batch_id, "dashboard": server.dashboard(batch.id)}
            emit({**told, "batch": server.raw_batch(batch.id)})
        else:
            say(f"  retries {batch_id}\n  {server.dashboard(batch.id)}\n  `batchrouter wait {batch.id}` waits for it.")
        return OK
    return follow(server, batch.id, Follow(files=options.files, json=options.json))


def _where(where: Mapping[str, Any]) -> dict[str, Any]:
    """A text is one; everything else is a list."""
    return {name: values[0] if name == "text" else values for name, values in where.items()}
