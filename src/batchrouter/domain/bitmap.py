"""Sets of small numbers as bits: which lines of a range are done, which are members of a shard.

In memory a bitmap is a plain `int` (bit i = the i-th line of its range), so that union, difference and count are one
C call on at most a few hundred bits; at rest it is little-endian bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator


def full(count: int) -> int:
    """The bitmap in which the first `count` bits are set."""
    return (1 << count) - 1


def of(numbers: Iterable[int]) -> int:
    bits = 0
    for number in numbers:
        bits |= 1 << number
    return bits


def members(bits: int) -> Iterator[int]:
    """The set bits in ascending order."""
    # Through its digits: one pass in C, where taking bit by bit would make a number of its whole length each time.
    return (number for number, digit in enumerate(bin(bits)[:1:-1]) if digit == "1")


def to_bytes(bits: int, count: int) -> bytes:
    return bits.to_bytes((count + 7) // 8, "little")


def from_bytes(data: bytes) -> int:
    return int.from_bytes(data, "little")
