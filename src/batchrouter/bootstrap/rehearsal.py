"""A line as it would be sent, without anybody to send it to."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from batchrouter.bootstrap.wires import options_of, provider_of, wire_of
from batchrouter.config import Config, pool_of
from batchrouter.domain.lane_choice import Mode, choose
from batchrouter.domain.shard import LaneKey, LaneMode
from batchrouter.domain.validation import Group
from batchrouter.providers.base import Encoded


class Rehearsal:
    """For lines of one endpoint, by a configuration that has providers, with a whole completion window before them."""

    def __init__(self, config: Config, endpoint: str) -> None:
        self._config = config
        self._endpoint = endpoint
        self._window_s = max(config.windows_s.values())
        self._encoder = cache(self._encoder_of)

    def way(self, group: Group, lines: int, all_lines: int) -> LaneMode:
        """Which lane `lines` lines of `all_lines` would go to."""
        return choose(
            group.wish,
            options_of(self._config, group.provider, group.model),
            endpoint=self._endpoint,
            lines=lines,
            rest=all_lines,
            left_s=self._window_s,
            margin_s=self._config.batches.overtake_margin,
        )

    def passes(self, group: Group) -> bool:
        """Whether bodies go out as they are, apart from their model."""
        return self._encoder(group) is None

    def encode(self, group: Group, body: bytes) -> tuple[str, ...]:
        """The names of parameters that would be left out or changed. Raises `LineRefused` for a line that would fail
        without being sent."""
        encode = self._encoder(group)
        return () if encode is None else encode(self._endpoint, body).dropped

    def _encoder_of(self, group: Group) -> Callable[[str, bytes], Encoded] | None:
        """None: bodies go out as they are."""
        provider = provider_of(self._config, group.provider)
        wire = wire_of(LaneKey(group.provider, group.model), provider, pool_of(provider)[0])
        wish = group.wish or options_of(self._config, group.provider, group.model).mode
        if wish is Mode.BATCH:
            return wire.encode_batch
        return None if wire.passes(self._endpoint) else wire.encode
