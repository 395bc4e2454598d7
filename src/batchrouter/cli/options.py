"""Options that several commands have."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class LogForm(StrEnum):
    text = "text"
    json = "json"


Config = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Default: ./batchrouter.yaml, else the environment."),
]
Data = Annotated[Path | None, typer.Option("--data", metavar="DIR", help="Default: storage.blobs, ./batchrouter-data.")]
Json = Annotated[bool, typer.Option("--json", help="Machine output on stdout; words go to stderr.")]
ExitWithStdin = Annotated[bool, typer.Option("--exit-with-stdin", hidden=True)]
LogFormat = Annotated[
    LogForm | None, typer.Option("--log-format", help="Of the log on stderr. Default: server.log_format, text.")
]
Endpoint = Annotated[str | None, typer.Option("--endpoint", metavar="URL", help="Default: the url of the first line.")]


class KeyRole(StrEnum):
    user = "user"
    admin = "admin"


class LogLevel(StrEnum):
    debug = "debug"
    info = "info"
    warning = "warning"
    error = "error"
