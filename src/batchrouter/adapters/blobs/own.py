"""A place for bytes that several processes share bears the mark of the installation that it belongs to.

Two installations on one prefix would each take the other's blobs for what a crash left and delete them after a day, and
a process with a folder of its own would not find what the others wrote. Both are a slip in a configuration, and show
only when it is too late: so a process that finds another mark, or none where there was one, does not start.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from batchrouter.errors import BlobMissing, ConfigError
from batchrouter.ports.blobs import Blobs, BlobWriter

MARK = "installation/mark"
_MARK_BYTES = 200


class OwnBlobs:
    """`ports.blobs.Blobs` over another, which is `place` to people."""

    def __init__(
        self, blobs: Blobs, place: str, installation: str, marked: bool, note: Callable[[], Awaitable[None]]
    ) -> None:
        """`marked`: the place bore the mark before. `note` writes down that it does."""
        self._blobs = blobs
        self._place = place
        self._installation = installation
        self._marked = marked
        self._note = note

    async def claim(self) -> None:
        """See that the place is ours, and mark it the first time. Raises `ConfigError` when it is not, `BlobError`."""
        found = await mark_in(self._blobs)
        if found is None and not self._marked:
            await self._blobs.put(MARK, [self._installation.encode()])
            found = await mark_in(self._blobs)  # of two that came at once the one that lost sees it
        if found is None:
            raise ConfigError(
                f"{self._place} is not where the other processes on this database keep their bytes: {MARK} is missing "
                "there. Name the same bucket and prefix, or mount the same folder, for all of them. If the bytes were "
                f"copied here without it, write {self._installation} into {MARK}"
            )
        if found != self._installation:
            raise ConfigError(elsewhere(self._place))
        if not self._marked:
            await self._note()
            self._marked = True

    async def create(self, key: str) -> BlobWriter:
        return await self._blobs.create(key)

    async def put(self, key: str, parts: Sequence[bytes]) -> None:
        await self._blobs.put(key, parts)

    async def read(self, key: str, offset: int, length: int) -> bytes:
        return await self._blobs.read(key, offset, length)

    async def read_many(self, key: str, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        return await self._blobs.read_many(key, spans)

    def stream(self, key: str, offset: int, length: int) -> AsyncIterator[bytes]:
        return self._blobs.stream(key, offset, length)

    async def size(self, key: str) -> int:
        return await self._blobs.size(key)

    async def delete(self, keys: Sequence[str]) -> None:
        await self._blobs.delete(keys)

    async def aged(self, older_than_ms: int) -> list[str]:
        """None of a place that is not ours, or that cannot be asked whose it is: that raises as `claim` does."""
        await self.claim()
        return [key for key in await self._blobs.aged(older_than_ms) if key != MARK]


def elsewhere(place: str) -> str:
    return (
        f"{place} belongs to another database of BatchRouter, which would delete what this one keeps there, as this "
        f"one would delete the other's: give each a prefix or a folder of its own. If the other one is gone for good, "
        f"delete {MARK} there; what it left is swept after a day"
    )


async def mark_in(blobs: Blobs) -> str | None:
    """Whose place it is; None: nobody's yet."""
    try:
        return (await blobs.read(MARK, 0, _MARK_BYTES)).decode(errors="replace").strip()
    except BlobMissing:
        return None
