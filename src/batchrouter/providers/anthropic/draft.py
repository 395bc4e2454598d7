"""What is collected while one request is translated: names made to fit, parameters left out, and how to refuse."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, NoReturn

from batchrouter.errors import LineRefused
from batchrouter.providers.anthropic.models import Facts
from batchrouter.providers.rules import Unsupported

Dict = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What happens to what Anthropic cannot do.

    `unsupported` None: each parameter as `docs/translation.md` says. DROP: whatever can be left out is left out, and
    told. FAIL: whatever would be left out fails its line. `max_tokens` is the answer's limit where the line sets none;
    what thinking takes comes on top.
    """

    unsupported: Unsupported | None = None
    max_tokens: int = 8192


def refuse(message: str, param: str | None, code: str = "invalid_value") -> NoReturn:
    """Raise LineRefused: 400, with OpenAI's words for codes. `message` repeats nothing of a prompt."""
    raise LineRefused(message, code=code, param=param)


class Fitted:
    """Names of the request, changed where Anthropic would not take them, each to one that no other has."""

    def __init__(self, length_max: int) -> None:
        self._length_max = length_max
        self._made: dict[str, str] = {}
        self._taken: set[str] = set()
        self._numbers: dict[str, int] = {}  # the last one behind each stem: thousands of names may become one

    def fit(self, name: str) -> str:
        """The same for the same name, whenever it comes."""
        made = self._made.get(name)
        if made is None:
            made = self._made[name] = self.another(name)
        return made

    def another(self, name: str) -> str:
        """One that nobody has yet, also when the name came before."""
        made = _outside.sub("_", name)[: self._length_max] or "_"
        stem = made[: self._length_max - _NUMBER_MAX]
        while made in self._taken:
            number = self._numbers[stem] = self._numbers.get(stem, 1) + 1
            made = f"{stem}_{number}"
        self._taken.add(made)
        return made

    @property
    def names(self) -> list[str]:
        """As they are sent, in the order in which they came."""
        return list(self._made.values())

    def back(self) -> dict[str, str] | None:
        """From what is sent to what was written, None where they are all the same."""
        changed = {made: name for name, made in self._made.items() if made != name}
        return changed or None


_outside = re.compile(r"[^a-zA-Z0-9_-]")
_NUMBER_MAX = 9  # with its underscore; a line has no room for more names
_TOOL_NAME_MAX = 128  # `^[a-zA-Z0-9_-]{1,128}$`; ids have the same characters and no published length


class Draft:
    """One translation. `results`: how many results of tools the last turn begins with."""

    def __init__(self, facts: Facts, policy: Policy) -> None:
        self.facts = facts
        self.policy = policy
        self.tools = Fitted(_TOOL_NAME_MAX)
        self.ids = Fitted(_TOOL_NAME_MAX)
        self.system: list[Dict] = []
        self.turns: list[Dict] = []
        self.results = 0
        self.dropped: dict[str, None] = {}

    def leave_out(self, param: str, why: str = "Anthropic has no equivalent", *, fails: bool = False) -> None:
        """`param` is not sent. `fails`: what the table of parameters says of it without a policy."""
        wanted = self.policy.unsupported
        if wanted is Unsupported.FAIL or (wanted is None and fails):
            refuse(f"The parameter '{param}' is not supported for this model: {why}.", param, "unsupported_parameter")
        self.dropped[param] = None


def as_string(value: Any, param: str) -> str:
    if not isinstance(value, str):
        refuse(f"Invalid type for '{param}': expected a string.", param, "invalid_type")
    return value


def as_dict(value: Any, param: str) -> Dict:
    if not isinstance(value, dict):
        refuse(f"Invalid type for '{param}': expected an object.", param, "invalid_type")
    return value


def as_list(value: Any, param: str) -> list[Any]:
    if not isinstance(value, list):
        refuse(f"Invalid type for '{param}': expected an array.", param, "invalid_type")
    return value


def as_number(value: Any, param: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        refuse(f"Invalid type for '{param}': expected a number.", param, "invalid_type")
    return value


def as_integer(value: Any, param: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        refuse(f"Invalid type for '{param}': expected an integer.", param, "invalid_type")
    return value
