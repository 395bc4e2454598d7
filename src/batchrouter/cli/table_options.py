"""From the options of a command to the source of its requests."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batchrouter.cli.run_files import PIPE
from batchrouter.cli.source import FileSource, Source, TableSource
from batchrouter.cli.words import say
from batchrouter.errors import InputError
from batchrouter.tables import (
    Asked,
    Bytes,
    FileBytes,
    Form,
    PipedBytes,
    Requests,
    Template,
    form_of,
    open_table,
    read_schema,
)
from batchrouter.tables.asking import CHAT


@dataclass(frozen=True, slots=True, kw_only=True)
class TableOptions:
    """As they were given. `settings`: `name=value`, each."""

    prompt: str | None = None
    prompt_file: Path | None = None
    system: str | None = None
    model: str | None = None
    schema: Path | None = None
    settings: tuple[str, ...] = ()
    provider: str | None = None
    id_column: str | None = None
    form: Form | None = None
    delimiter: str | None = None

    def source(self, path: Path, endpoint: str | None) -> Source:
        """`path` may be `-`, which is read to its end. Raises `InputError` and `ConfigError`."""
        prompt = self._prompt()
        form = self.form or form_of(path)
        if prompt is None:
            self._refuse_without_prompt(path, form)
            return FileSource(_bytes(path))
        if self.model is None:
            raise InputError("--prompt needs --model: the model that is asked")
        if form is None:
            forms = ", ".join(Form)
            raise InputError(f"the name {path} does not tell what the file is; say so with --format ({forms})")
        asked = Asked(
            prompt=Template(prompt),
            model=self.model,
            endpoint=endpoint or CHAT,
            system=self.system,
            schema=None if self.schema is None else read_schema(self.schema),
            settings=dict(map(setting, self.settings)),
            provider=self.provider,
            id_column=self.id_column,
        )
        return TableSource(Requests(open_table(_bytes(path), form, self.delimiter), asked))

    def _prompt(self) -> str | None:
        if self.prompt_file is None:
            return self.prompt
        if self.prompt is not None:
            raise InputError("--prompt and --prompt-file are two ways to say the same; give one")
        try:
            return self.prompt_file.read_text("utf-8-sig").removesuffix("\n")  # which editors put there
        except OSError as error:
            raise InputError(f"{self.prompt_file} cannot be read: {error.strerror or error}") from error
        except UnicodeDecodeError as error:
            raise InputError(f"{self.prompt_file} is not UTF-8") from error

    def _refuse_without_prompt(self, path: Path, form: Form | None) -> None:
        if form not in (None, Form.JSONL):
            raise InputError(f"{path} is {form}: say what is asked of each row, with --prompt and --model")
        given = {
            "--system": self.system,
            "--model": self.model,
            "--schema": self.schema,
            "--set": self.settings,
            "--provider": self.provider,
            "--id-column": self.id_column,
            "--delimiter": self.delimiter,
        }
        for option, value in given.items():
            if value:
                raise InputError(f"{option} is for tables, with --prompt; here every line is a whole request")


def setting(told: str) -> tuple[str, Any]:
    """`max_tokens=200` → ("max_tokens", 200). What is no JSON is a word. Raises `InputError`."""
    name, equals, value = told.partition("=")
    name = name.strip()
    if not equals or not name:
        raise InputError(f"--set takes name=value, not '{told}'")
    try:
        return name, json.loads(value, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        if value.lstrip()[:1] in ("{", "[", '"'):
            raise InputError(f"--set {name}: the value is no whole JSON ({error})") from error
        return name, value


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _bytes(path: Path) -> Bytes:
    if path != PIPE:
        return FileBytes(path)
    if sys.stdin.isatty():
        say("Reading standard input until its end (Ctrl-D).")
    return PipedBytes(sys.stdin.buffer)
