"""The words of a container's command against the real CLI, and its configuration against the real reader."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import click
import typer
import yaml

from batchrouter import config
from batchrouter.cli.main import app
from batchrouter.config.settings import DATA_FOLDER
from batchrouter.errors import ConfigError

__all__ = ["DATA_FOLDER", "documents", "faults_of_command", "faults_of_config", "options_of", "port_of", "seconds"]

GROUP = typer.main.get_command(app)


def _context(words: list[str]) -> typer.Context | click.Context:
    """Of the command that `words` name, its options read but nothing run. Raises what the CLI would exit with."""
    command, rest, parent, name = GROUP, words, None, "batchrouter"
    while True:
        context = command.make_context(name, list(rest), parent=parent)
        if not isinstance(command, typer.core.TyperGroup):
            return context
        found, command_of, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        assert command_of is not None
        command, parent, name = command_of, context, str(found)


def faults_of_command(words: list[str]) -> Iterator[str]:
    """What the CLI would say against it."""
    try:
        _context(words)
    except Exception as error:
        yield f"batchrouter {' '.join(words)}: {getattr(error, 'message', error)}"


def options_of(words: list[str]) -> dict[str, Any]:
    """Options by their Python names, defaults filled in."""
    return _context(words).params


def port_of(words: list[str], read: config.Config) -> int:
    """Where a process with this command listens."""
    port = options_of(words).get("port")
    if port is None:
        port = read.server.worker_port if words[0] == "worker" else read.server.port
    return int(port)


def faults_of_config(text: str, env: Mapping[str, str], name: str) -> Iterator[str]:
    """What `batchrouter check` and every start would say against it."""
    try:
        config.parse(text, env, name)
    except ConfigError as error:
        yield str(error)


@cache
def documents(text: str) -> list[Any]:
    """Of a YAML text; read once, so not to be changed."""
    return list(yaml.load_all(text, yaml.CSafeLoader))


def seconds(text: str) -> int:
    """Of a length of time as engines of containers write it: `45s`, `2m`."""
    return int(text[:-1]) * {"s": 1, "m": 60}[text[-1]]
