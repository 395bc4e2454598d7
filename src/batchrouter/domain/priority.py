"""How much a batch goes before the others of its tenant. It takes nothing from other tenants."""

from __future__ import annotations

from enum import IntEnum


class Priority(IntEnum):
    """The numbers are the store's."""

    LOW = -1
    NORMAL = 0
    HIGH = 1

    @property
    def weight(self) -> int:
        """Of the tenant's part of a lane, against its other batches: so none of them starves."""
        return _WEIGHTS[self]

    @property
    def word(self) -> str:
        return self.name.lower()


_WEIGHTS = {Priority.LOW: 1, Priority.NORMAL: 8, Priority.HIGH: 64}
BY_WORD = {each.word: each for each in Priority}
