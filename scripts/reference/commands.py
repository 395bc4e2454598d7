"""`docs/reference/cli.md`, and the list of commands in `docs/cli.md`: what typer knows of each command."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from pathlib import Path

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from batchrouter.cli.main import app
from scripts.reference.places import escaped, table

FOR_ALL = ("--json", "--help")
_HEAD = """# Commands and options

<!-- Made by `make reference` from the program: change it there. -->

Every command with its arguments and options, as `--help` has them. What the commands do, which files they leave and
what Ctrl-C does stands in [the command line](../cli.md). `--help` and `--json` are understood by every command."""


def commands() -> dict[str, TyperCommand]:
    """Every command by its words: `keys create`."""
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    return dict(_within(group, ""))


def overview() -> str:
    """The table of commands; each leads to its options."""
    rows = [
        [
            f"[`batchrouter {name}`](reference/cli.md#batchrouter-{name.replace(' ', '-')})",
            _words(command).split("\n\n")[0],
        ]
        for name, command in commands().items()
    ]
    return table(("command", "what it does"), rows)


def page() -> str:
    return "\n\n".join([_HEAD, *(_section(name, command) for name, command in commands().items())]) + "\n"


def _within(group: TyperGroup, before: str) -> Iterator[tuple[str, TyperCommand]]:
    for word, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from _within(command, f"{before}{word} ")
        elif not command.hidden:
            assert isinstance(command, TyperCommand)
            yield before + word, command


def _section(name: str, command: TyperCommand) -> str:
    arguments = [each for each in command.params if isinstance(each, TyperArgument) and not each.hidden]
    options = [each for each in command.params if isinstance(each, TyperOption) and not each.hidden]
    words = [_argument(each) for each in arguments]
    words += [f"{each.opts[0]} {_metavar(each)}" for each in options if each.required]
    own = [each for each in options if each.opts[0] not in FOR_ALL]
    usage = " ".join(["batchrouter", name, *words, *(["[OPTIONS]"] if own else [])])
    parts = [f"## `batchrouter {name}`", _words(command), f"```text\n{usage}\n```"]
    rows = [[f"`{_argument(each)}`", "", "", escaped(each.help or "")] for each in arguments if each.help]
    rows += [_row(each) for each in own]
    if rows:
        parts.append(table(("option", "value", "default", "meaning"), rows))
    if command.epilog:
        parts.append(" ".join(command.epilog.split()))
    return "\n\n".join(parts)


def _words(command: TyperCommand) -> str:
    """Its help, paragraph by paragraph; a command at the end of one is code."""
    paragraphs = [escaped(each) for each in (command.help or "").split("\n\n")]
    return "\n\n".join(re.sub(r": (batchrouter .+)$", r": `\1`", each) for each in paragraphs)


def _argument(each: TyperArgument) -> str:
    word = each.metavar or (each.name or "").upper()
    word = f"{word}..." if each.nargs != 1 and not word.endswith("...") else word
    return word if each.required else f"[{word}]"


def _row(each: TyperOption) -> list[str]:
    flags = ", ".join(f"`{flag}`" for flag in [*each.opts, *each.secondary_opts])
    if each.required:
        default = "needed"
    else:
        default = "" if each.default in (None, False, "", ()) else f"`{_plain(each.default)}`"
    return [flags, _value(each), default, escaped(each.help or "")]


def _plain(value: object) -> str:
    return str(value.value if isinstance(value, Enum) else value)


def _value(each: TyperOption) -> str:
    if each.is_flag:
        return ""
    kind = each.type_descriptor.annotation
    if isinstance(kind, type) and issubclass(kind, Enum):
        return ", ".join(f"`{_plain(word)}`" for word in kind)
    bounds = "" if each.min is None else f", {each.min:,} to {each.max:,}" if each.max else f", at least {each.min:,}"
    return f"`{_metavar(each)}`{bounds}{', repeatable' if each.multiple else ''}"


def _metavar(each: TyperOption) -> str:
    words = {int: "N", float: "NUMBER", Path: "FILE"}
    return each.metavar or words.get(each.type_descriptor.annotation, "TEXT")
