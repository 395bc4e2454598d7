"""The script: what the simulator does beside answering. Frozen structs that load from YAML, JSON or a dict.

Times are seconds (float), sizes bytes, counts requests. An unknown key is an error that names the near one.
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import yaml
from msgspec import Meta, Struct

from batchrouter.errors import ConfigError
from batchrouter.simulator.jobscript import BATCH_STRUCTS, Batches, Count, Seconds

HeaderName = Annotated[str, Meta(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")]
HeaderValue = Annotated[str, Meta(pattern=r"^[\t\x20-\x7e\x80-\xff]*$")]

Fault = Literal[
    "close",
    "close_after_head",
    "half_body",
    "hang",
    "reset",
    "extra_bytes",
    "two_replies",
    "early_close",
    "connection_close",
    "no_length",
    "chunked",
    "stream_error",
    "slow_body",
    "informational",
    "upgrade",
]
Shape = Literal["pretty", "html", "empty", "invalid_utf8", "nan", "gzip", "deep", "u2028", "crlf", "huge"]
RetryAfterDialect = Literal["seconds", "http-date", "ms"]
LimitDialect = Literal["auto", "openai", "azure", "anthropic", "groq", "gemini", "together", "none"]
Rate = Annotated[float, Meta(gt=0)]


class Fixed(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="fixed"):
    """Every answer takes the same time."""

    seconds: Seconds = 0.0


class Uniform(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="uniform"):
    """Every time between `low` and `high` is as likely."""

    low: Seconds
    high: Seconds

    def __post_init__(self) -> None:
        if self.high < self.low:
            raise ValueError(f"`high` ({self.high}) is below `low` ({self.low})")


class LogNormal(Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="lognormal"):
    """Half of the answers take less than `median`; `sigma` is the spread of the logarithm; `max` bounds the tail."""

    median: Annotated[float, Meta(gt=0)]
    sigma: Seconds = 0.5
    max: Seconds = 600.0


class Capacity(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Up to `in_flight` requests at once are answered at full speed; beyond, the latency grows in proportion."""

    in_flight: Count
    reject_above: Count | None = None
    reject_status: Literal[429, 503] = 429
    retry_after_s: Seconds | None = None

    def __post_init__(self) -> None:
        if self.reject_above is not None and self.reject_above < self.in_flight:
            raise ValueError(f"`reject_above` ({self.reject_above}) is below `in_flight` ({self.in_flight})")


class Ramp(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """No window of `window_s` may take more than `factor` times the requests of the one before; `start` always fit."""

    start: Count
    factor: Annotated[float, Meta(ge=1)] = 2.0
    window_s: Rate = 60.0


class Limits(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Token buckets, enforced: requests and tokens a minute, input and output apart, and a day.

    A full bucket of a minute holds what `burst_s` seconds bring (60: a whole minute's worth), one of a day a whole
    day's. `dialect` is how limits are told; `auto`: as the API does that was asked.
    """

    rpm: Rate | None = None
    tpm: Rate | None = None
    itpm: Rate | None = None
    otpm: Rate | None = None
    rpd: Rate | None = None
    tpd: Rate | None = None
    burst_s: Rate = 60.0
    dialect: LimitDialect = "auto"
    ramp: Ramp | None = None


class Waves(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The last `for_s` of every `every_s` seconds are a wave: refused is all, or what a `fraction` of capacity leaves.

    Counted from the moment when the script was set.
    """

    every_s: Rate
    for_s: Rate
    fraction: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    status: Annotated[int, Meta(ge=400, le=599)] = 529
    retry_after_s: Seconds | None = None

    def __post_init__(self) -> None:
        if self.for_s >= self.every_s:
            raise ValueError(f"`for_s` ({self.for_s}) is not below `every_s` ({self.every_s}): it would never be calm")

    def at(self, age_s: float) -> bool:
        """Whether it is a wave so long after the script was set."""
        return age_s % self.every_s >= self.every_s - self.for_s


class Match(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All members that are given must fit. `every`, `first` and `first_tries` count only what fits the others."""

    path: str | None = None
    model: str | None = None
    contains: str | None = None
    native: bool | None = None
    after_s: Seconds | None = None
    until_s: Seconds | None = None
    first_tries: Count | None = None
    first: Count | None = None
    every: Count | None = None


class Then(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What happens to a request that a rule matched. With neither `status` nor `body`, the ordinary answer."""

    status: Annotated[int, Meta(ge=200, le=599)] | None = None
    body: Any = None
    code: str | None = None
    type: str | None = None
    message: str | None = None
    headers: dict[HeaderName, HeaderValue] = {}
    retry_after_s: Seconds | None = None
    delay_s: Seconds | None = None
    shape: Shape | None = None
    size: Count | None = None
    fault: Fault | None = None
    over_s: Seconds = 1.0


class Rule(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The first rule that matches a request decides about it; the later ones do not see it."""

    match: Match = Match()
    then: Then


class Script(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole behaviour. An empty script answers everything at once."""

    seed: int = 0
    latency: Fixed | Uniform | LogNormal = Fixed()
    capacity: Capacity | None = None
    limits: Limits | None = None
    waves: Waves | None = None
    retry_after: RetryAfterDialect = "seconds"
    rules: tuple[Rule, ...] = ()
    batches: Batches | None = None

    def __post_init__(self) -> None:
        if self.waves is not None and self.waves.fraction and self.capacity is None:
            raise ValueError("`waves.fraction` is a fraction of `capacity`, which is not given")


STRUCTS: tuple[type[Struct], ...] = (
    *(Script, Fixed, Uniform, LogNormal, Capacity, Limits, Ramp, Waves, Rule, Match, Then),
    *BATCH_STRUCTS,
)


def load_script(path: str | Path) -> Script:
    """Read a script file, YAML or JSON (which is YAML). Raises ConfigError."""
    try:
        content = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the simulator's script {path} cannot be read: {error}") from error
    try:
        value = yaml.safe_load(content)
    except yaml.YAMLError as error:
        raise ConfigError(f"the simulator's script {path} is not YAML: {error}") from error
    return script_from({} if value is None else value, source=str(path))


def script_from(value: object, *, source: str = "script") -> Script:
    """A script from plain dicts and lists. Raises ConfigError with the place of what does not fit."""
    try:
        return msgspec.convert(value, Script)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{source}: {error}{_near_word(str(error))}") from error


def parse_latency(text: str) -> Fixed | Uniform | LogNormal:
    """The short form of the command line: `0.3`, `0.2..0.4`, `lognormal:MEDIAN[:SIGMA[:MAX]]`; seconds."""
    try:
        if text.startswith("lognormal:"):
            values = [float(part) for part in text.removeprefix("lognormal:").split(":")]
            members = dict(zip(("median", "sigma", "max"), values, strict=False))
            return msgspec.convert({"kind": "lognormal", **members}, LogNormal)
        if ".." in text:
            low, _, high = text.partition("..")
            return msgspec.convert({"kind": "uniform", "low": float(low), "high": float(high)}, Uniform)
        return msgspec.convert({"kind": "fixed", "seconds": float(text)}, Fixed)
    except (ValueError, msgspec.ValidationError) as error:
        raise ConfigError(
            f"latency '{text}' cannot be used: write seconds as 0.3, 0.2..0.4 or lognormal:0.3:0.5 ({error})"
        ) from error


def _near_word(message: str) -> str:
    unknown = re.search(r"unknown field `([^`]*)`", message)
    if unknown is None:
        return ""
    known = {name for struct in STRUCTS for name in struct.__struct_fields__}
    near = difflib.get_close_matches(unknown.group(1), known, n=1)
    return f"; did you mean '{near[0]}'?" if near else ""
