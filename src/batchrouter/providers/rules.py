"""What a host cannot take of a body, as data, and the body that it can take.

A rule changes members at the top of a body and nothing else: every other value keeps its bytes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase

import msgspec
from msgspec import Raw

from batchrouter.domain.surrogates import mask
from batchrouter.errors import LineRefused

CHAT = "/v1/chat/completions"


class Unsupported(StrEnum):
    """What becomes of a parameter that the upstream does not know, where the configuration has a wish."""

    DROP = "drop"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """For models whose whole upstream name matches one of `models` and none of `apart`, at these `endpoints`.

    `rename`: a member under another name; the other wins where both are there. `drop`: members that may be left out
    without changing what is asked for. `forbid`: members without which it would be another question (`n`,
    `logprobs`): the line is refused. `clamp`: least and most of a number. `not_at_effort`: bodies that ask for one of
    these reasoning efforts are left alone; an empty word stands for those that ask for none in particular.
    """

    models: tuple[str, ...] = ("*",)
    apart: tuple[str, ...] = ()
    endpoints: tuple[str, ...] = (CHAT,)
    rename: Mapping[str, str] = field(default_factory=dict)
    drop: tuple[str, ...] = ()
    forbid: tuple[str, ...] = ()
    clamp: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    not_at_effort: tuple[str, ...] = ()

    def holds(self, endpoint: str, model: str) -> bool:
        return endpoint in self.endpoints and matches(model, self.models) and not matches(model, self.apart)


def matches(name: str, globs: Sequence[str]) -> bool:
    """Whether one of the globs matches the whole name, with regard to case."""
    return any(fnmatchcase(name, glob) for glob in globs)


# OpenAI's own defaults (API reference, "Create chat completion"): who asks for one of them asks for nothing.
_DEFAULTS: Mapping[str, frozenset[bytes]] = {
    "n": frozenset((b"1",)),
    "temperature": frozenset((b"1", b"1.0")),
    "top_p": frozenset((b"1", b"1.0")),
    "presence_penalty": frozenset((b"0", b"0.0")),
    "frequency_penalty": frozenset((b"0", b"0.0")),
    "logprobs": frozenset((b"false",)),
    "top_logprobs": frozenset((b"0",)),
    "logit_bias": frozenset((b"{}",)),
    "store": frozenset((b"false",)),
    "stream": frozenset((b"false",)),
    "service_tier": frozenset((b'"auto"', b'"default"')),
}

_decode = msgspec.json.Decoder(dict[str, Raw]).decode
_encode = msgspec.json.Encoder().encode
# A member's name may be spelt with escapes.
_ESCAPE = b"\\u00"


class _Effect:
    """What rules come to together."""

    def __init__(self, rules: Sequence[Rule], unsupported: Unsupported | None) -> None:
        self.rename: dict[str, str] = {}
        self.clamp: dict[str, tuple[float, float]] = {}
        self.drop: set[str] = set()
        self.forbid: set[str] = set()
        for rule in rules:
            self.rename.update(rule.rename)
            self.clamp.update(rule.clamp)
            self.drop.update(rule.drop)
            self.forbid.update(rule.forbid)
        if unsupported is Unsupported.FAIL:
            self.forbid |= self.drop
        elif unsupported is Unsupported.DROP:
            self.drop |= self.forbid
            self.forbid = set()

    def names(self) -> set[str]:
        return {*self.rename, *self.clamp, *self.drop, *self.forbid}


class Changes:
    """The rules of one model at one endpoint, put together once.

    `put` are members that every body gets, as JSON; they take the place of those that it has. `without` are left out
    whatever the configuration wishes.
    """

    def __init__(
        self,
        rules: Sequence[Rule],
        unsupported: Unsupported | None = None,
        put: Mapping[str, bytes] | None = None,
        without: Sequence[str] = (),
    ) -> None:
        self._strict = unsupported is Unsupported.FAIL
        self._put = {name: Raw(value) for name, value in (put or {}).items()}
        efforts = sorted({effort for rule in rules for effort in rule.not_at_effort})
        self._at_effort = {
            effort: _Effect([rule for rule in rules if effort not in rule.not_at_effort], unsupported)
            for effort in efforts
        }
        self._otherwise = _Effect(rules, unsupported)
        self._without = frozenset(without)
        names = sorted(self._otherwise.names() | self._without)
        self._any = bool(names)
        self._mentions = re.compile(b"|".join(b'"%s"' % re.escape(name.encode()) for name in names)).search

    @property
    def empty(self) -> bool:
        return not self._any and not self._put

    def apply(self, body: bytes) -> tuple[bytes, tuple[str, ...]]:
        """The body as the host takes it, and the names of what was left out or changed. A body that no rule concerns
        is returned as it is. Raises `LineRefused`."""
        if not self._put and not (self._any and (self._mentions(body) or _ESCAPE in body)):
            return body, ()
        try:
            return self._applied(body)
        except msgspec.DecodeError:
            masked = mask(body)  # half a surrogate pair, which msgspec refuses
            if masked is None:
                raise
            changed, dropped = self._applied(masked.data)
            return masked.restore(changed), dropped

    def _applied(self, body: bytes) -> tuple[bytes, tuple[str, ...]]:
        members = _decode(body)
        effect = self._effect(members)
        kept: dict[str, Raw] = {}
        dropped: list[str] = []
        for name, value in members.items():
            if name in self._put:
                continue
            forbidden = name in effect.forbid
            if forbidden or name in effect.drop or name in self._without:
                self._leave_out(name, value, forbidden and name not in self._without, dropped)
                continue
            place = effect.rename.get(name)
            if place is not None:
                if place in members:
                    dropped.append(name)
                    continue
                name = place
            bounds = effect.clamp.get(name)
            kept[name] = value if bounds is None else self._clamped(name, value, bounds, dropped)
        if not self._put and len(kept) == len(members) and all(members.get(name) is kept[name] for name in kept):
            return body, ()
        return _encode(kept | self._put), tuple(dropped)

    def _effect(self, members: Mapping[str, Raw]) -> _Effect:
        return self._at_effort.get(_effort(members), self._otherwise) if self._at_effort else self._otherwise

    def _leave_out(self, name: str, value: Raw, forbidden: bool, dropped: list[str]) -> None:
        token = bytes(value)
        if token == b"null" or token in _DEFAULTS.get(name, ()):
            return
        if forbidden:
            raise refused(name)
        dropped.append(name)

    def _clamped(self, name: str, value: Raw, bounds: tuple[float, float], dropped: list[str]) -> Raw:
        least, most = bounds
        try:
            number = msgspec.json.decode(value, type=float)
        except msgspec.DecodeError:
            return value
        if least <= number <= most:
            return value
        if self._strict:
            raise refused(name, f"must be between {least:g} and {most:g} for this model's provider")
        dropped.append(name)
        return Raw(b"%g" % (least if number < least else most))


class _Reasoning(msgspec.Struct):
    effort: str | None = None


def _effort(members: Mapping[str, Raw]) -> str:
    """What a chat completion says in `reasoning_effort` and a response in `reasoning.effort`; empty: nothing."""
    try:
        if "reasoning_effort" in members:
            return msgspec.json.decode(members["reasoning_effort"], type=str | None) or ""
        if "reasoning" in members:
            reasoning = msgspec.json.decode(members["reasoning"], type=_Reasoning | None)
            return "" if reasoning is None else reasoning.effort or ""
    except msgspec.DecodeError:
        return "?"  # the upstream will say what is wrong with it
    return ""


def refused(name: str, why: str = "is not supported by this model's provider") -> LineRefused:
    return LineRefused(f"'{name}' {why}.", code="unsupported_parameter", param=name)
