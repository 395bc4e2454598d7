"""`batchrouter serve`: the server in the foreground, until it is asked to stop."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import uvloop

from batchrouter.bootstrap.server import Ready, Server
from batchrouter.cli.settings import NO_PROVIDER, data_folder, load_config
from batchrouter.cli.signals import Stop
from batchrouter.cli.words import OK, emit, say, tell
from batchrouter.config import Config
from batchrouter.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """What is not given comes from the configuration. `exit_with_stdin`: end when standard input does."""

    host: str | None = None
    port: int | None = None
    data: Path | None = None
    config: Path | None = None
    exit_with_stdin: bool = False
    json: bool = False


def serve(options: ServeOptions) -> int:
    """Until SIGTERM or SIGINT. Raises `ConfigError`, `FolderError`, `StoreError` before it serves."""
    config = load_config(options.config)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(options, config))


async def _serve(options: ServeOptions, config: Config) -> int:
    stop = Stop()
    stop.listen()
    server = Server(config, data_folder(options.data, config), os.environ)
    stop.hurry = server.hurry
    host = config.server.host if options.host is None else options.host
    port = config.server.port if options.port is None else options.port
    if options.exit_with_stdin:
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), _stop_at_end_of_input, stop)
    grace_s = 0.0
    try:
        try:
            ready = await server.start(host, port)
        except (OSError, OverflowError) as error:
            raise ConfigError(
                f"cannot listen on {host}:{port}: {error}. Choose another with --host and --port (0 takes a free port)"
            ) from error
        if options.json:
            emit({"ok": True, **_told(ready)})
        else:
            tell("\n".join(_words(ready)))
        await stop.asked.wait()
        grace_s = config.server.shutdown_grace_s
        say(f"Stopping: calls under way have {grace_s:.0f} s to end; a second signal ends them now.")
    finally:
        await server.stop(grace_s)
    return OK


def _told(ready: Ready) -> dict[str, object]:
    return {
        "url": ready.url,
        "base_url": f"{ready.url}/v1",
        "data": str(ready.folder),
        "first_key": ready.first_key,
        "providers": list(ready.providers),
        "pid": os.getpid(),
    }


def _words(ready: Ready) -> list[str]:
    key = ready.first_key or ("$BATCHROUTER_API_KEY" if os.environ.get("BATCHROUTER_API_KEY") else "YOUR_KEY")
    told = [
        f"BatchRouter serves {ready.url}",
        f"  data       {ready.folder.resolve()}",
    ]
    if ready.first_key is not None:
        told.append(f"  API key    {ready.first_key}   (shown this once; `batchrouter keys create` makes others)")
    elif os.environ.get("BATCHROUTER_API_KEY"):
        told.append("  API key    the one in BATCHROUTER_API_KEY, and those of `batchrouter keys list`")
    else:
        told.append("  API key    one of `batchrouter keys list`; `batchrouter keys create` makes another")
    told += [
        f"  providers  {', '.join(ready.providers) or 'none'}",
        f"  docs       {ready.url}/docs",
        "Talk to it as to OpenAI:",
        f"  curl {ready.url}/v1/models -H 'Authorization: Bearer {key}'",
        f'  OpenAI(base_url="{ready.url}/v1", api_key="{key}")',
    ]
    if not ready.providers:
        told.append(f"{NO_PROVIDER}\nUntil then every batch fails with model_not_found.")
    told.append("Ctrl-C stops it.")
    return told


def _stop_at_end_of_input(stop: Stop) -> None:
    if not os.read(sys.stdin.fileno(), 4096):
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        stop.ask()
