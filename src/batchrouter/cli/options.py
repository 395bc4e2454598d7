"""Options that several commands have."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from batchrouter.tables.forms import Form


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

Url = Annotated[
    str | None,
    typer.Option("--url", metavar="URL", help="The server. Default: BATCHROUTER_URL, else that of the data folder."),
]
Key = Annotated[str | None, typer.Option("--key", metavar="KEY", help="Default: BATCHROUTER_API_KEY.")]
Tenant = Annotated[str | None, typer.Option("--tenant", metavar="NAME", help="Act for this one, with an admin's key.")]
Where = Annotated[
    list[str] | None,
    typer.Option(
        "--where", metavar="NAME=VALUE", help="Only these lines: outcome, finish_reason, code, custom_id, text."
    ),
]


Prompt = Annotated[
    str | None, typer.Option("--prompt", metavar="TEXT", help="Asked of each row of a table; {column} is its cell.")
]
PromptFile = Annotated[Path | None, typer.Option("--prompt-file", metavar="FILE", help="The prompt, from a file.")]
System = Annotated[str | None, typer.Option("--system", metavar="TEXT", help="With a prompt: the system message.")]
Model = Annotated[str | None, typer.Option("--model", help="With a prompt: the model that is asked.")]
Schema = Annotated[
    Path | None, typer.Option("--schema", metavar="FILE", help="With a prompt: the JSON schema of the answers.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="With a prompt: a further member of each body, repeatable."),
]
RowProvider = Annotated[str | None, typer.Option("--provider", metavar="NAME", help="With a prompt: who is asked.")]
IdColumn = Annotated[
    str | None, typer.Option("--id-column", metavar="COLUMN", help="The rows' ids. Default: their numbers, from 1.")
]
TableForm = Annotated[Form | None, typer.Option("--format", help="Of the input. Default: what its name says.")]
OutputForm = Annotated[Form | None, typer.Option("--to", help="Form of the output. Default: what its name says.")]
Delimiter = Annotated[
    str | None, typer.Option("--delimiter", metavar="CHAR", help="Of CSV: a character, tab or auto. Default: a comma.")
]


class Priority(StrEnum):
    high = "high"
    normal = "normal"
    low = "low"


class SendMode(StrEnum):
    auto = "auto"
    realtime = "realtime"
    batch = "batch"


class KeyRole(StrEnum):
    user = "user"
    admin = "admin"


class LogLevel(StrEnum):
    debug = "debug"
    info = "info"
    warning = "warning"
    error = "error"
