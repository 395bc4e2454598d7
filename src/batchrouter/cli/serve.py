"""`batchrouter serve`: API and worker in one process, or the API here and workers in processes of their own."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

from batchrouter.bootstrap.children import Children
from batchrouter.bootstrap.ready import Ready
from batchrouter.bootstrap.server import Server
from batchrouter.cli.role import Role, RoleOptions, run_role
from batchrouter.cli.settings import NO_PROVIDER, given_folder, load_config
from batchrouter.config import is_shared, require_shared


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions(RoleOptions):
    """`workers` None: one, in this process. `log_level` and `log_format`: for the workers' processes."""

    workers: int | None = None
    log_level: str = "warning"
    log_format: str | None = None


def serve(options: ServeOptions) -> int:
    """Until SIGTERM or SIGINT. Raises `ConfigError`, `FolderError`, `StoreError` before it serves."""
    config = load_config(options.config)
    workers = options.workers
    if workers == 1 and not is_shared(config.storage):
        workers = None  # that one is in this process
    if workers is not None:
        require_shared(config, f"`batchrouter serve --workers {workers}`")
    data = given_folder(options.data, config)
    host = config.server.host if options.host is None else options.host
    port = config.server.port if options.port is None else options.port

    def make() -> Role:
        server = Server(config, data, os.environ, host=host, port=port, works=workers is None, makes=True)
        return server if workers is None else Family(server, _children(options, workers))

    return run_role(make, options, config.server.shutdown_grace_s, serve_words)


class Family:
    """A server without a worker, and workers in processes of their own."""

    def __init__(self, server: Server, children: Children) -> None:
        self._server = server
        self._children = children

    async def start(self) -> Ready:
        ready = await self._server.start()
        self._children.start()
        return replace(ready, role="serve")

    async def stop(self, grace_s: float) -> None:
        await asyncio.gather(self._children.stop(grace_s), self._server.stop(grace_s))

    def hurry(self) -> None:
        self._children.hurry()
        self._server.hurry()


def _children(options: ServeOptions, count: int) -> Children:
    command = [sys.executable, "-m", "batchrouter.cli", "worker", "--port", "0", "--json", "--exit-with-stdin"]
    command += ["--log-level", options.log_level]
    command += [] if options.log_format is None else ["--log-format", options.log_format]
    for name, value in (("--config", options.config), ("--data", options.data), ("--host", options.host)):
        command += [] if value is None else [name, str(value)]
    return Children(command, count)


def serve_words(ready: Ready) -> Sequence[str]:
    key = ready.first_key or ("$BATCHROUTER_API_KEY" if os.environ.get("BATCHROUTER_API_KEY") else "YOUR_KEY")
    told = [
        f"BatchRouter serves {ready.url}",
        f"  data       {ready.storage}",
    ]
    if ready.first_key is not None:
        told.append(f"  API key    {ready.first_key}   (shown this once; `batchrouter keys create` makes others)")
    elif os.environ.get("BATCHROUTER_API_KEY"):
        told.append("  API key    the one in BATCHROUTER_API_KEY, and those of `batchrouter keys list`")
    else:
        told.append("  API key    one of `batchrouter keys list`; `batchrouter keys create` makes another")
    told += [
        f"  providers  {', '.join(ready.providers) or 'none'}",
        f"  dashboard  {ready.url}/",
        f"  docs       {ready.url}/docs",
        "Talk to it as to OpenAI:",
        f"  curl {ready.url}/v1/models -H 'Authorization: Bearer {key}'",
        f'  OpenAI(base_url="{ready.url}/v1", api_key="{key}")',
    ]
    if not ready.providers:
        told.append(f"{NO_PROVIDER}\nUntil then every batch fails with model_not_found.")
    told.append("Ctrl-C stops it.")
    return told
