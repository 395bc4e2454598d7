"""What the files for deployment run, run: the linter, the image's health check, the script that makes a bucket."""

from __future__ import annotations

import hashlib
import hmac
import http.server
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from batchrouter.adapters.blobs.bucket import Bucket
from batchrouter.adapters.blobs.probe import probe
from tests.conftest import ROOT
from tests.s3 import S3Server, s3
from tests.serving import free_port

__all__ = ["s3"]

CHECK = ROOT / "deploy" / "healthcheck.py"
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))


def test_the_linter_finds_nothing_in_the_dockerfile() -> None:
    """All of its rules, none switched off."""
    done = subprocess.run([Path(sys.executable).parent / "hadolint", ROOT / "Dockerfile"], capture_output=True)
    assert (done.returncode, done.stdout) == (0, b"")
    assert "hadolint" not in (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_the_linter_finds_something_in_a_bad_one() -> None:
    """It is the real one, and it looks."""
    done = subprocess.run(
        [Path(sys.executable).parent / "hadolint", "-"], input=b"FROM python\nCMD batchrouter\n", capture_output=True
    )
    assert done.returncode == 1
    assert b"DL3025" in done.stdout


Asked = tuple[str, str, dict[str, str]]


@contextmanager
def answering(status: int, asked: list[Asked] | None = None) -> Iterator[int]:
    """A port on which `/healthz` and every PUT have this status, and everything else is 404."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if asked is not None:
                asked.append((self.command, self.path, {name.lower(): text for name, text in self.headers.items()}))
            self.send_response(status if self.path == "/healthz" or self.command == "PUT" else 404)
            self.send_header("content-length", "0")
            self.end_headers()

        do_HEAD = do_PUT = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def checked(*ports: int) -> int:
    """As the image asks it: no site packages, nothing of the environment."""
    return subprocess.run([sys.executable, "-I", "-S", CHECK, *map(str, ports)], capture_output=True).returncode


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1), (404, 1)])
def test_the_health_check_says_what_the_process_says(status: int, code: int) -> None:
    """A process that stops (503) is not well, nor is a stranger on its port."""
    with answering(status) as port:
        assert checked(port) == code
        assert checked(free_port(), port) == code


def test_nobody_who_listens_is_not_well() -> None:
    """Neither as an API nor as a worker."""
    assert checked(free_port(), free_port()) == 1


def make_bucket(url: str, name: str) -> subprocess.CompletedProcess[str]:
    """The one-shot of compose.yaml, its script as it stands, with the shell and the curl of this machine."""
    service = COMPOSE["services"]["bucket"]
    script = service["command"][0].replace("$$", "$")
    return subprocess.run(
        [*service["entrypoint"], script],
        env={"PATH": os.environ["PATH"], "BUCKET": f"{url}/{name}", "S3_USER": "batchrouter:secret"},
        capture_output=True,
        text=True,
        timeout=60,
    )


async def test_the_bucket_is_made_once_and_can_be_used(need: Callable[[str, str], str], s3: S3Server) -> None:
    """At every start of compose the script runs again, and changes nothing."""
    need("curl", "curl")
    first, again = make_bucket(s3.url, "made-by-compose"), make_bucket(s3.url, "made-by-compose")
    assert (first.returncode, first.stdout, first.stderr) == (0, "bucket: made, 200\n", "")
    assert (again.returncode, again.stdout, again.stderr) == (0, "bucket: 200\n", "")
    await probe(Bucket.open("s3://made-by-compose", s3.options), "probe")


def test_a_bucket_that_cannot_be_made_is_no_success(need: Callable[[str, str], str], s3: S3Server) -> None:
    """Nothing may start on it."""
    need("curl", "curl")
    assert make_bucket(f"http://127.0.0.1:{free_port()}", "bucket").returncode != 0
    refused = make_bucket(s3.url, "ab")  # too short for a name
    assert (refused.returncode, refused.stdout) == (1, "bucket: made, 400\n")


def test_the_bucket_is_asked_for_as_s3_wants_it(need: Callable[[str, str], str]) -> None:
    """Signed with the secret, the hash of the body among what is signed: a server that looks takes nothing else."""
    need("curl", "curl")
    asked: list[Asked] = []
    with answering(200, asked) as port:
        assert make_bucket(f"http://127.0.0.1:{port}", "batchrouter").returncode == 0
    assert [method for method, _, _ in asked] == ["HEAD", "PUT"]
    for method, path, headers in asked:
        given = dict(re.findall(r"(\w+)=([^, ]+)", headers["authorization"]))
        assert "x-amz-content-sha256" in given["SignedHeaders"].split(";")
        assert given["Signature"] == signature(method, path, headers, given["SignedHeaders"], "secret")


def signature(method: str, path: str, headers: dict[str, str], signed: str, secret: str) -> str:
    """Version 4 of AWS's, for a request without a query."""
    date = headers["x-amz-date"]
    scope = f"{date[:8]}/us-east-1/s3/aws4_request"
    parts = [method, path, "", *(f"{name}:{headers[name]}" for name in signed.split(";"))]
    request = "\n".join([*parts, "", signed, headers["x-amz-content-sha256"]])
    text = "\n".join(["AWS4-HMAC-SHA256", date, scope, hashlib.sha256(request.encode()).hexdigest()])
    key = f"AWS4{secret}".encode()
    for word in (*scope.split("/"), text):
        key = hmac.digest(key, word.encode(), "sha256")
    return key.hex()
