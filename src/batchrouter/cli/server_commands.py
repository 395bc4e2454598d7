"""`batchrouter serve`, `api` and `worker`: their options. What they do is imported when they run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from batchrouter.cli.logs import log_to_stderr
from batchrouter.cli.options import Config, Data, ExitWithStdin, Json, LogFormat, LogLevel

if TYPE_CHECKING:
    from batchrouter.cli.role import RoleOptions

servers_app = typer.Typer()

Host = Annotated[str | None, typer.Option(help="Default: server.host, 127.0.0.1.")]
Port = Annotated[int | None, typer.Option(help="Default: server.port, 8000; 0 takes a free one.")]
Level = Annotated[LogLevel, typer.Option(help="Of the log on stderr.")]


@servers_app.command()
def serve(
    host: Host = None,
    port: Port = None,
    data: Data = None,
    config: Config = None,
    log_level: Level = LogLevel.warning,
    log_format: LogFormat = None,
    json: Json = False,
    workers: Annotated[
        int | None,
        typer.Option(min=0, max=256, metavar="N", help="On PostgreSQL: this many in processes of their own."),
    ] = None,
    exit_with_stdin: ExitWithStdin = False,
) -> None:
    """Run the server until Ctrl-C or SIGTERM; a second one skips the wait for calls under way."""
    from batchrouter.cli.serve import ServeOptions, serve

    log_to_stderr(log_level, log_format)
    raise typer.Exit(
        serve(
            ServeOptions(
                host=host,
                port=port,
                data=data,
                config=config,
                exit_with_stdin=exit_with_stdin,
                json=json,
                workers=workers,
                log_level=log_level,
                log_format=log_format,
            )
        )
    )


@servers_app.command()
def api(
    host: Host = None,
    port: Port = None,
    data: Data = None,
    config: Config = None,
    log_level: Level = LogLevel.warning,
    log_format: LogFormat = None,
    json: Json = False,
    exit_with_stdin: ExitWithStdin = False,
) -> None:
    """Run the HTTP API alone, one of any number on one PostgreSQL, until Ctrl-C or SIGTERM."""
    from batchrouter.cli.api import api

    log_to_stderr(log_level, log_format)
    raise typer.Exit(api(_role(host, port, data, config, exit_with_stdin, json)))


@servers_app.command()
def worker(
    host: Annotated[str | None, typer.Option(help="For health and metrics. Default: server.host, 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(help="Default: server.worker_port, 8001; 0 takes a free one.")] = None,
    data: Data = None,
    config: Config = None,
    log_level: Level = LogLevel.warning,
    log_format: LogFormat = None,
    json: Json = False,
    exit_with_stdin: ExitWithStdin = False,
) -> None:
    """Run a worker alone, one of any number on one PostgreSQL, until Ctrl-C or SIGTERM."""
    from batchrouter.cli.worker import worker

    log_to_stderr(log_level, log_format)
    raise typer.Exit(worker(_role(host, port, data, config, exit_with_stdin, json)))


def _role(
    host: str | None, port: int | None, data: Path | None, config: Path | None, exit_with_stdin: bool, json: bool
) -> RoleOptions:
    from batchrouter.cli.role import RoleOptions

    return RoleOptions(host=host, port=port, data=data, config=config, exit_with_stdin=exit_with_stdin, json=json)
