"""A prompt with places for cells: `Translate {text} into {language}.`"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from batchrouter.errors import InputError

_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


class Template:
    """`{name}` stands for a cell, `{{` and `}}` for braces; what is in a cell is put in as it is."""

    def __init__(self, text: str) -> None:
        """Raises `InputError` for braces that have no meaning."""
        self.columns: tuple[str, ...] = ()
        """Those that are named, each once, in the order of their first place."""
        self._parts: list[str | int] = []
        """Words, and the numbers of columns among `columns`."""
        numbers: dict[str, int] = {}
        words: list[str] = []
        after = 0
        for token in _TOKEN.finditer(text):
            words.append(text[after : token.start()])
            after = token.end()
            whole, name = token[0], token[1]
            if whole in ("{{", "}}"):
                words.append(whole[0])
            elif name is None:
                raise InputError(
                    f"the prompt has a single '{whole}' at character {token.start() + 1}; write '{whole}{whole}' for "
                    "the brace itself, and {column} for what is in a column"
                )
            else:
                self._parts += ["".join(words), numbers.setdefault(name, len(numbers))]
                words = []
        self._parts.append("".join([*words, text[after:]]))
        self.columns = tuple(numbers)

    def render(self, cells: Sequence[str]) -> str:
        """`cells` are those of `columns`."""
        return "".join([part if isinstance(part, str) else cells[part] for part in self._parts])


def no_such_column(what: str, name: str, columns: Sequence[str], where: str) -> InputError:
    """`what` names a column that `where` does not have."""
    close = difflib.get_close_matches(name, columns, n=1)
    folded = [column for column in columns if column.casefold() == name.casefold()]
    bare = [column for column in columns if column == re.split(r"[:!.\[]", name)[0].strip()]
    hint = ""
    if folded or close:
        hint = f"; did you mean '{(folded or close)[0]}'?"
    elif bare:
        hint = f"; did you mean '{bare[0]}'? A cell is put in as it is, without a format"
    elif len(columns) == 1 and any(mark in columns[0] for mark in ";\t|"):
        hint = f". Its header is one column, '{columns[0]}': does it need --delimiter?"
    else:
        shown = ", ".join(columns[:20]) + (", …" if len(columns) > 20 else "")
        hint = f"; there are: {shown}"
    return InputError(f"{what} names a column '{name}' that {where} does not have{hint}")
