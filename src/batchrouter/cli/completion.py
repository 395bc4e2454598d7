"""Ids of batches for the shell to complete: asked of the server, for a second at most, and in silence."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from batchrouter.cli.server import Server

BOUND_S = 1.0
SHOWN = 50
RUNNING = ("cancel", "pause", "resume", "wait")
OVER = ("fetch", "retry")


def batch_ids(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Each with its state and name; those that the command is for. Nothing when anything at all is wrong."""
    found: list[tuple[str, str]] = []
    try:
        from batchrouter.cli.place import ServerOptions
        from batchrouter.cli.server import Server

        params = ctx.params
        words = {name: str(params[name]) for name in ("url", "key", "tenant") if params.get(name)}
        paths = {name: Path(str(params[name])) for name in ("data", "config") if params.get(name)}
        options = ServerOptions(**words, **paths)  # type: ignore[arg-type]
        server = Server.of(options, patience_s=0.0, timeout_s=BOUND_S)
    except Exception:  # a shell that completes has no place for words
        return []
    taken = params.get("ids") or ()
    # In a thread, because no timeout of ours bounds the look-up of a host's name.
    asking = Thread(target=_ask, args=(server, ctx.info_name or "", incomplete, taken, found), daemon=True)
    asking.start()
    asking.join(BOUND_S)
    return list(found)


def _ask(server: Server, command: str, incomplete: str, taken: Collection[str], found: list[tuple[str, str]]) -> None:
    try:
        import msgspec

        from batchrouter.cli.facts import clean
        from batchrouter.cli.told import BatchTold

        for raw in server.page({"limit": SHOWN, **({"search": incomplete} if incomplete else {})}).data:
            batch = msgspec.convert(raw, BatchTold)
            is_for = not batch.final if command in RUNNING else batch.final if command in OVER else True
            if batch.id.startswith(incomplete) and is_for and batch.id not in taken:
                found.append((batch.id, clean(f"{batch.state} {batch.name}").strip()))
    except Exception:  # as above
        return
