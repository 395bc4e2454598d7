"""How much work it can be to judge a value by a schema, told before it is done.

The validator does not let go of the interpreter while it works, and its work can grow with the power of the value's
depth: a schema whose branches ask the same of the same place doubles it at each level. So each schema is measured, and
what could take too long is not judged.

A part of a schema (a node) is asked of a value at some depth. `asked[d]` is how often, at most, parts are asked of one
value that lies `d` levels below the one that the node is asked of: of itself by the parts that hold for the same value
(`allOf`, `$ref`, …), below by those for members and items. Of `properties` one at most meets a member, of the others
all may.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

DEPTH_MAX = 96
"""Of a value; OpenAI's strict mode has ten."""
NODES_MAX = 5_000
PATTERNS_MAX = 4_000
"""Sizes of all patterns: each is compiled, whether or not it is used."""
_ENOUGH = 10**12
"""Nothing is told apart beyond this."""

_SAME_LISTS = ("allOf", "anyOf", "oneOf")
_SAME = ("not", "if", "then", "else")
_SAME_MAPS = ("dependentSchemas", "dependencies")
_BELOW = ("additionalProperties", "propertyNames", "items", "additionalItems", "contains")
_UNKNOWN = frozenset(
    ("unevaluatedProperties", "unevaluatedItems", "$dynamicRef", "$recursiveRef", "$anchor", "$dynamicAnchor")
)
"""Keywords whose work is not bounded so, or which lead to places that are not found here."""


class Unbounded(Exception):
    """The schema is not judged by."""


class _Node:
    __slots__ = ("any_of_below", "below", "cost", "patterns", "same")

    def __init__(self) -> None:
        self.cost = 1
        self.patterns = 0
        self.same: list[int] = []
        self.below: list[int] = []
        """All may be asked of one value."""
        self.any_of_below: list[list[int]] = []
        """Of each list one is."""


class Measure:
    """Of one schema."""

    def __init__(self, schema: Any) -> None:
        """Raises `Unbounded`."""
        if sum(map(pattern_size, _patterns(schema))) > PATTERNS_MAX:
            raise Unbounded
        self._root = schema
        self._places: dict[int, int] = {}
        self._nodes: list[_Node] = []
        waiting: list[Any] = []
        self._place(schema, waiting)
        while waiting:
            self._read(waiting.pop(), waiting)
        self._order = self._sorted()
        self._asked: list[tuple[int, int]] = []
        """Of the root, by depth: parts, and sizes of patterns."""
        self._last: list[tuple[int, int]] | None = None
        """The same of every node, at the last depth that was reckoned."""

    def worst(self, depth: int) -> tuple[int, int]:
        """For one value at most `depth` deep: the most that is asked of any place, and the most of patterns."""
        known = self._upto(depth)
        return max(parts for parts, _ in known), max(patterns for _, patterns in known)

    def work(self, values_at: list[int]) -> int:
        """Parts asked in all, of a value that has so many values at each depth."""
        known = self._upto(len(values_at) - 1)
        return sum(count * parts for count, (parts, _) in zip(values_at, known, strict=False))

    def _upto(self, depth: int) -> list[tuple[int, int]]:
        """The root's, at each depth."""
        while len(self._asked) <= depth:
            self._last = self._following(self._last)
            self._asked.append(self._last[0])
        return self._asked[: depth + 1]

    def _following(self, above: list[tuple[int, int]] | None) -> list[tuple[int, int]]:
        """Of every node at the next depth, given those one level further up; None: at depth 0."""
        made: list[tuple[int, int]] = [(0, 0)] * len(self._nodes)
        for number in self._order:
            node = self._nodes[number]
            parts = patterns = 0
            if above is None:
                parts, patterns = node.cost, node.patterns
            else:
                for place in node.below:
                    parts += above[place][0]
                    patterns += above[place][1]
                for places in node.any_of_below:
                    parts += max(above[place][0] for place in places)
                    patterns += max(above[place][1] for place in places)
            for place in node.same:
                parts += made[place][0]
                patterns += made[place][1]
            made[number] = (min(parts, _ENOUGH), min(patterns, _ENOUGH))
        return made

    # --- reading ----------------------------------------------------------------------------------------------------

    def _place(self, part: Any, waiting: list[Any]) -> int:
        place = self._places.get(id(part))
        if place is None:
            if len(self._nodes) >= NODES_MAX:
                raise Unbounded
            place = self._places[id(part)] = len(self._nodes)
            self._nodes.append(_Node())
            waiting.append(part)
        return place

    def _read(self, part: Any, waiting: list[Any]) -> None:
        node = self._nodes[self._places[id(part)]]
        if isinstance(part, bool):
            return
        if not isinstance(part, dict) or not _UNKNOWN.isdisjoint(part) or ("$id" in part and part is not self._root):
            raise Unbounded
        required = part.get("required")
        node.cost = 1 + len(part) + (len(required) if isinstance(required, list) else 0)
        if "enum" in part or "const" in part:
            node.cost += _size(part.get("enum")) + _size(part.get("const"))
        if isinstance(part.get("pattern"), str):
            node.patterns = pattern_size(part["pattern"])

        def each(values: Any) -> list[int]:
            return [self._place(value, waiting) for value in values if isinstance(value, dict | bool)]

        for key in _SAME_LISTS:
            if isinstance(part.get(key), list):
                node.same += each(part[key])
        for key in _SAME_MAPS:
            if isinstance(part.get(key), dict):
                node.same += each(part[key].values())
        node.same += each(part[key] for key in _SAME if key in part)
        if "$ref" in part:
            node.same.append(self._place(self._found(part["$ref"]), waiting))
        node.below += each(part[key] for key in _BELOW if key in part)
        if isinstance(part.get("patternProperties"), dict):
            node.below += each(part["patternProperties"].values())
            node.patterns += sum(map(pattern_size, part["patternProperties"]))
        if isinstance(part.get("properties"), dict):
            node.any_of_below.append(each(part["properties"].values()))
        for key in ("prefixItems", "items"):
            if isinstance(part.get(key), list):
                node.any_of_below.append(each(part[key]))
        node.any_of_below = [places for places in node.any_of_below if places]

    def _found(self, reference: Any) -> Any:
        """What a reference within the schema leads to. Others are never followed."""
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise Unbounded
        found = self._root
        for step in reference[1:].split("/")[1:] if reference != "#" else ():
            step = step.replace("~1", "/").replace("~0", "~")
            if "%" in step or not isinstance(found, dict) or step not in found:
                raise Unbounded
            found = found[step]
        if reference[1:2] not in ("", "/") or not isinstance(found, dict | bool):
            raise Unbounded
        return found

    def _sorted(self) -> list[int]:
        """Each node after those that hold for the same value. Raises `Unbounded` where that goes in a circle."""
        order: list[int] = []
        state = [0] * len(self._nodes)
        for first in range(len(self._nodes)):
            stack: list[tuple[int, Iterator[int]]] = []
            if not state[first]:
                state[first] = 1
                stack.append((first, iter(self._nodes[first].same)))
            while stack:
                number, rest = stack[-1]
                following = next(rest, None)
                if following is None:
                    stack.pop()
                    state[number] = 2
                    order.append(number)
                elif state[following] == 1:
                    raise Unbounded
                elif not state[following]:
                    state[following] = 1
                    stack.append((following, iter(self._nodes[following].same)))
        return order


def _size(value: Any) -> int:
    """Steps of a comparison with all of it."""
    steps = 0
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            steps += 8
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
        steps += 1
    return steps


def _patterns(value: Any) -> Iterator[str]:
    """All that stand in the schema, in whatever place."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if isinstance(value.get("pattern"), str):
                yield value["pattern"]
            if isinstance(value.get("patternProperties"), dict):
                yield from value["patternProperties"]
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


_TOKEN = re.compile(r"\\[pP](?:\{[^}]*\}|.)|\\.|\[(?:\\.|[^\]\\])*\]|\{(\d+)(?:,(\d*))?\}|[()|]|.", re.DOTALL)
_WIDE = re.compile(r"\\[pPwWdDsSbB]|^\[\^|[^\x00-\x7f]")
_CLASS = 100
"""Parts of the automaton for a class of Unicode."""


def pattern_size(pattern: str) -> int:
    """About how many parts its automaton has: a match takes as many steps for each character, at worst."""
    levels: list[list[int]] = [[0, 0]]  # parts so far, and those of the last piece, which a repetition repeats
    for token in _TOKEN.finditer(pattern):
        word = token[0]
        level = levels[-1]
        if word == "(":
            levels.append([0, 0])
        elif word == ")":
            if len(levels) > 1:
                size = sum(levels.pop())
                levels[-1] = [sum(levels[-1]), size]
        elif token[1] is not None:
            level[1] *= max(int(token[2] or token[1]) if token[2] != "" else int(token[1]) + 1, 1)
            if level[1] > _ENOUGH:
                return _ENOUGH
        elif word not in ("*", "+", "?"):
            levels[-1] = [sum(level), _CLASS if _WIDE.search(word) else 1]
    return min(sum(map(sum, levels)), _ENOUGH)
