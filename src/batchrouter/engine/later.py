"""Lines of one lane that wait for a time: to be tried again, or read again."""

from __future__ import annotations

import heapq
from collections.abc import Callable

from batchrouter.engine.held import Held


class Later:
    def __init__(self) -> None:
        self._lines: list[tuple[float, int, Held, int]] = []
        self._order = 0

    def __len__(self) -> int:
        return len(self._lines)

    def add(self, at_s: float, held: Held, place: int) -> None:
        self._order += 1
        heapq.heappush(self._lines, (at_s, self._order, held, place))

    @property
    def next_s(self) -> float | None:
        """When the first of them is due."""
        return self._lines[0][0] if self._lines else None

    def due(self, now_s: float) -> list[tuple[Held, int]]:
        """Take out what is due, first what was due first."""
        lines = []
        while self._lines and self._lines[0][0] <= now_s:
            _, _, held, place = heapq.heappop(self._lines)
            lines.append((held, place))
        return lines

    def drop(self, batch_id: str) -> None:
        self.take(lambda held, place: held.batch.id == batch_id)

    def take(self, wanted: Callable[[Held, int], bool]) -> list[tuple[Held, int]]:
        """Take out all lines that are wanted, due or not."""
        taken = [(held, place) for _, _, held, place in self._lines if wanted(held, place)]
        if taken:
            self._lines = [entry for entry in self._lines if not wanted(entry[2], entry[3])]
            heapq.heapify(self._lines)
        return taken

    def add_loads(self, loads: dict[str, tuple[int, int]]) -> None:
        """Count them into (in flight, retrying) by batch."""
        for _, _, held, _ in self._lines:
            flying, waiting = loads.get(held.batch.id, (0, 0))
            loads[held.batch.id] = (flying, waiting + 1)
