"""A TCP connection that can be cut, slowed, and swallowed whole or in one direction."""

from __future__ import annotations

import asyncio
import contextlib
from enum import StrEnum

from tests.chaos.proxies import Proxies, reset

CHUNK = 64 * 1024


class Wire(StrEnum):
    THROUGH = "through"
    CUT = "cut"
    """What was connected is reset, and so is whoever connects."""
    BLACKHOLE = "blackhole"
    """Nothing arrives, in neither direction, and nobody is told. Afterwards it does arrive, late."""
    DEAF = "deaf"
    """What is asked arrives, the replies do not. Afterwards the connections are reset: nobody learns what was done."""
    SLOW = "slow"
    """Each piece is `delay_s` late."""


class TcpLink:
    """All connections from `port` to `target_port` of this machine."""

    def __init__(self, proxies: Proxies, target_port: int) -> None:
        self._proxies = proxies
        self._target_port = target_port
        self._wire = Wire.THROUGH
        self._delay_s = 0.0
        self._moved = asyncio.Event()
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self.port = proxies.listen(self._accept)

    @property
    def connections(self) -> int:
        return self._proxies.run(lambda: len(self._pairs))

    def set(self, wire: Wire, delay_s: float = 0.0) -> None:
        self._proxies.run(self._set, wire, delay_s)

    def _set(self, wire: Wire, delay_s: float) -> None:
        if wire is Wire.CUT or (self._wire is Wire.DEAF and wire is not Wire.DEAF):
            for pair in self._pairs:
                for writer in pair:
                    reset(writer)
        self._wire, self._delay_s = wire, delay_s
        self._moved.set()
        self._moved = asyncio.Event()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await self._pass_by(Wire.BLACKHOLE)
            if self._wire is Wire.CUT:
                reset(writer)
                return
            there, back = await asyncio.open_connection("127.0.0.1", self._target_port)
            pair = (writer, back)
            self._pairs.add(pair)
            try:
                await asyncio.gather(self._pump(reader, back, asks=True), self._pump(there, writer, asks=False))
            finally:
                self._pairs.discard(pair)
                for each in pair:
                    each.close()
            return
        writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, asks: bool) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                await self._pass_by(Wire.BLACKHOLE, *(() if asks else (Wire.DEAF,)))
                if self._wire is Wire.SLOW:
                    await asyncio.sleep(self._delay_s)
                writer.write(data)
                await writer.drain()
        # The end of either side is told to the other, late where all is late.
        await self._pass_by(Wire.BLACKHOLE)
        with contextlib.suppress(OSError, RuntimeError):
            writer.close()

    async def _pass_by(self, *wires: Wire) -> None:
        """Wait while the wire is one of these."""
        while self._wire in wires:
            await self._moved.wait()
