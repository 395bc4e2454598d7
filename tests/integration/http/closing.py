"""An upstream on threads of its own that closes right behind each reply, so that bytes and close arrive together."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from types import TracebackType


class ClosingUpstream:
    """Answers one request on each TLS connection with `data`, says goodbye and closes, without waiting for anybody."""

    def __init__(self, context: ssl.SSLContext, data: bytes) -> None:
        self._context = context
        self._data = data
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._threads = [threading.Thread(target=self._accept)]
        self.port: int = self._socket.getsockname()[1]

    def __enter__(self) -> ClosingUpstream:
        self._threads[0].start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                raw, _ = self._socket.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(raw,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, raw: socket.socket) -> None:
        with contextlib.suppress(OSError), raw, self._context.wrap_socket(raw, server_side=True) as secure:
            got = b""
            while not got.endswith(b"\r\n\r\n{}"):
                part = secure.recv(65536)
                if not part:
                    return
                got += part
            secure.sendall(self._data)
            secure.setblocking(False)
            secure.unwrap()
