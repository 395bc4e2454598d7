"""An S3 server for tests: moto's, in a process of its own, so that it takes no time from the event loop under test.

`TEST_BLOB_URL` (with credentials in the usual variables) names a bucket to use instead, in which each test gets a
prefix of its own; what needs a server that it may stop then skips. This file is also the server's program.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Self

import pytest

from tests.conftest import IN_CI, ROOT

BUCKET = "batchrouter-test"
ENV = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}


class S3Server:
    """Loses its objects when it stops. Use as `with`, or `start` and `stop`."""

    def __init__(self) -> None:
        self.port = 0
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def env(self) -> dict[str, str]:
        """What a child process needs to find it."""
        return {**ENV, "AWS_ENDPOINT_URL": self.url}

    @property
    def options(self) -> dict[str, str]:
        """The same as `env`, for `ObjectBlobs.open`."""
        return options_of(self.url)

    def start(self) -> None:
        """On the port that it had before, if it had one; with the bucket `BUCKET`."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.s3", str(self.port)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        told = self._process.stdout.readline()
        assert told, "moto's server ended at its start"
        self.port = int(told)
        self.make_bucket(BUCKET)

    def stop(self) -> None:
        if self._process is not None:
            process, self._process = self._process, None
            process.kill()
            process.communicate()

    def pause(self) -> None:
        """It takes connections, and answers nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def make_bucket(self, name: str) -> None:
        asked = urllib.request.Request(f"{self.url}/{name}", method="PUT")
        with urllib.request.urlopen(asked, timeout=30) as reply:
            assert reply.status == 200

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def options_of(endpoint: str) -> dict[str, str]:
    return {"endpoint": endpoint, **{name.removeprefix("AWS_").lower(): text for name, text in ENV.items()}}


def require_moto() -> None:
    """Skip on a laptop, fail in CI, where moto is not installed."""
    if find_spec("moto") is None:
        words = "needs moto's S3 server: pip install -r requirements/dev.lock"
        if IN_CI:
            pytest.fail(words)
        pytest.skip(words)


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """A server for everybody: do not stop it."""
    require_moto()
    with S3Server() as server:
        yield server


@pytest.fixture
def blob_place(request: pytest.FixtureRequest) -> tuple[str, dict[str, str]]:
    """URL and options of an empty place in a bucket, for `ObjectBlobs.open`."""
    named = os.environ.get("TEST_BLOB_URL")
    if named:
        return f"{named.rstrip('/')}/{secrets.token_hex(8)}", {}
    server: S3Server = request.getfixturevalue("s3")
    return f"s3://{BUCKET}/{secrets.token_hex(8)}", server.options


def _serve(port: int) -> None:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    print(server.get_host_and_port()[1], flush=True)
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
