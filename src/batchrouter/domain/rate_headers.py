"""What an upstream's reply says about pace: when to come back, and how much of each limit is left.

Every reply passes here, and most say nothing, so the common path is a first-letter test per header. Whatever
cannot be understood is treated as not said: a malformed header must never stop or hurry a lane.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple

import msgspec

WAIT_MAX_S = 86_400.0
"""Longest wait that is believed. Daily quotas tell at most a day; anything longer is a fault of the sender."""


class Budget(NamedTuple):
    """One published limit, as a reply told it. `kind` is the upstream's own word: requests, tokens, input-tokens, …"""

    kind: str
    limit: int
    remaining: int
    reset_s: float | None = None


@dataclass(frozen=True, slots=True)
class Signals:
    """What one reply told about pace; None = not told. All times are seconds from the moment of reading, ≥ 0, finite.

    `exhausted_s` is the longest reset among the limits that have nothing left, of whatever kind they are.
    `tokens_*` is the tightest of the token limits when a provider has several (input, output, both).
    """

    retry_after_s: float | None = None
    should_retry: bool | None = None
    requests_limit: int | None = None
    requests_remaining: int | None = None
    requests_reset_s: float | None = None
    tokens_limit: int | None = None
    tokens_remaining: int | None = None
    tokens_reset_s: float | None = None
    exhausted_s: float | None = None
    budgets: tuple[Budget, ...] = ()


NO_SIGNALS = Signals()

# First letters of x-…, retry-…, anthropic-…; and then the prefixes themselves.
_FIRST = frozenset(b"xra")
PREFIXES = (b"x-ratelimit-", b"retry-after", b"x-should-retry", b"anthropic-ratelimit-")
"""Of the headers that are read here."""
_GO_DURATION = re.compile(r"(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|ms|s|m|h)")
_GO_UNITS_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_UNIX_FROM = 1e9
"""A reset above this is a moment in Unix seconds, not a length: as a length it would be 31 years."""
_VALUE_MAX = 64
_DIGITS_MAX = 18


def read_signals(status: int, headers: list[tuple[bytes, bytes]], now_unix_s: float) -> Signals:
    """The signals of a reply's headers (names in lower case); `NO_SIGNALS` itself when there are none. Never raises.

    A `retry-after` on a 2xx is not a request to wait (some proxies send it always) and is not read.
    """
    found: list[tuple[bytes, bytes]] | None = None
    for pair in headers:
        name = pair[0]
        if name and name[0] in _FIRST and name.startswith(PREFIXES):
            if found is None:
                found = []
            found.append(pair)
    if found is None:
        return NO_SIGNALS
    return _read(status, found, now_unix_s)


def _read(status: int, found: list[tuple[bytes, bytes]], now_unix_s: float) -> Signals:
    texts = {
        name.decode("latin-1"): value.decode("latin-1").strip() for name, value in found if len(value) <= _VALUE_MAX
    }
    budgets = _budgets(texts, now_unix_s)
    requests = _tightest([budget for what, budget in budgets.items() if what.endswith("requests")])
    tokens = _tightest([budget for what, budget in budgets.items() if what.endswith("tokens")])
    resets = [b.reset_s for b in budgets.values() if b.remaining == 0 and b.reset_s is not None]
    signals = Signals(
        retry_after_s=None if 200 <= status < 300 else _retry_after(texts, now_unix_s),
        should_retry={"true": True, "false": False}.get(texts.get("x-should-retry", "").lower()),
        requests_limit=requests.limit,
        requests_remaining=requests.remaining,
        requests_reset_s=requests.reset_s,
        tokens_limit=tokens.limit,
        tokens_remaining=tokens.remaining,
        tokens_reset_s=tokens.reset_s,
        exhausted_s=max(resets, default=None),
        budgets=tuple(
            Budget(kind, b.limit, b.remaining, b.reset_s)
            for kind, b in budgets.items()
            if b.limit is not None and b.remaining is not None
        ),
    )
    return NO_SIGNALS if signals == NO_SIGNALS else signals


def _retry_after(texts: dict[str, str], now_unix_s: float) -> float | None:
    """The finer header wins. Together sends a bare `x-ratelimit-reset` in its place."""
    ms = _number(texts.get("retry-after-ms", ""))
    if ms is not None:
        return min(ms / 1000.0, WAIT_MAX_S)
    for name in ("retry-after", "x-ratelimit-reset"):
        wait_s = _wait(texts.get(name, ""), now_unix_s)
        if wait_s is not None:
            return wait_s
    return None


@dataclass(slots=True)
class _Budget:
    limit: int | None = None
    remaining: int | None = None
    reset_s: float | None = None


def _budgets(texts: dict[str, str], now_unix_s: float) -> dict[str, _Budget]:
    """`x-ratelimit-<field>-<what>` (OpenAI's order) and `anthropic-ratelimit-<what>-<field>` (Anthropic's)."""
    budgets: dict[str, _Budget] = {}
    for name, text in texts.items():
        if name.startswith("x-ratelimit-"):
            field, _, what = name.removeprefix("x-ratelimit-").partition("-")
        elif name.startswith("anthropic-ratelimit-"):
            what, _, field = name.removeprefix("anthropic-ratelimit-").rpartition("-")
        else:
            continue
        if not what or field not in ("limit", "remaining", "reset"):
            continue
        budget = budgets.setdefault(what, _Budget())
        if field == "limit":
            budget.limit = _count(text)
        elif field == "remaining":
            budget.remaining = _count(text)
        else:
            budget.reset_s = _wait(text, now_unix_s)
    return budgets


def _tightest(budgets: list[_Budget]) -> _Budget:
    """The one with the smallest share left; one that tells nothing about what is left comes last."""

    def left(budget: _Budget) -> float:
        return math.inf if budget.remaining is None else budget.remaining / (budget.limit or 1)

    return min(budgets, key=left, default=_Budget())


def _count(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX else None


def _number(text: str) -> float | None:
    """A finite number ≥ 0; `float` also takes 'nan', 'inf' and '1_0', which no upstream means."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 and "_" not in text else None


def _wait(text: str, now_unix_s: float) -> float | None:
    """Seconds from now, in [0, WAIT_MAX_S], of a number, a Go duration, an RFC 3339 time or an HTTP date."""
    if not text:
        return None
    wait_s = _number(text)
    if wait_s is None:
        wait_s = _go_duration(text)
    elif wait_s >= _UNIX_FROM:
        wait_s -= now_unix_s
    if wait_s is None:
        moment_s = _moment(text)
        if moment_s is None:
            return None
        wait_s = moment_s - now_unix_s
    return min(max(wait_s, 0.0), WAIT_MAX_S)


def _go_duration(text: str) -> float | None:
    """Go's `time.Duration` as text: `6m0s`, `120ms`, `2m59.56s`. None when any of it is something else."""
    parts: list[str] = _GO_DURATION.findall(text)
    if not parts or "".join(parts) != text:
        return None
    total_s = 0.0
    for part in parts:
        digits = part.rstrip("nuµmsh")
        total_s += float(digits) * _GO_UNITS_S[part[len(digits) :]]
    return total_s


def _moment(text: str) -> float | None:
    """Unix seconds of an RFC 3339 time or an HTTP date; one without a zone is meant in UTC."""
    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = parse(text)
            return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
    return None


class _Detail(msgspec.Struct):
    type: str = msgspec.field(default="", name="@type")
    retry_delay: str = msgspec.field(default="", name="retryDelay")


class _Error(msgspec.Struct):
    details: list[_Detail] = []


class _Body(msgspec.Struct):
    error: _Error


_BODY = msgspec.json.Decoder(_Body)
_BODIES = msgspec.json.Decoder(list[_Body])


def read_body_retry(body: bytes) -> float | None:
    """Seconds of a `google.rpc.RetryInfo` in an error body; None when there is none. For errors only: it parses.

    Gemini sends no header; its OpenAI-compatible face wraps the error in an array. `retryDelay` is "17s" or "3.7s".
    """
    if b"RetryInfo" not in body:
        return None
    try:
        bodies = _BODIES.decode(body) if body.lstrip()[:1] == b"[" else [_BODY.decode(body)]
    except (msgspec.DecodeError, RecursionError):
        return None
    for each in bodies:
        for detail in each.error.details:
            if detail.type.endswith("google.rpc.RetryInfo") and len(detail.retry_delay) <= _VALUE_MAX:
                wait_s = _go_duration(detail.retry_delay)
                if wait_s is not None:
                    return min(wait_s, WAIT_MAX_S)
    return None
