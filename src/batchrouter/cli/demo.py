"""`batchrouter demo`: a batch from upload to download, on this machine, against the simulator.

Simulator and server are processes of their own with a data folder that goes with them; all that is asked of the server
goes over HTTP, as anybody's client would.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from batchrouter.cli.client import Client
from batchrouter.cli.words import INTERRUPTED, OK, SOME_FAILED, count, emit, say, seconds, tell
from batchrouter.errors import ConfigError, InputError
from batchrouter.simulator.process import running_simulator

REQUESTS = Path("examples/requests.jsonl")
LATENCY = "lognormal:0.25:0.5:2"
POLL_S = 0.1
STOP_S = 15.0
SHOWN = 3
ANSWER_CHARS = 200
FINAL = ("completed", "failed", "expired", "cancelled")
CONFIG = """\
server: {{shutdown_grace_s: 1}}
providers:
  simulator: {{type: openai, base_url: "{base_url}"}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    file: Path | None = None
    json: bool = False


def demo(options: DemoOptions) -> int:
    """Raises `BatchRouterError`. Nothing is left running and no file behind, however it ends."""
    source = _requests(options.file)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="batchrouter-demo-") as folder,
            running_simulator(arguments=["--latency", LATENCY]) as simulator,
        ):
            say(f"The simulated model answers at {simulator.base_url}")
            with _server(Path(folder), simulator.base_url) as ready:
                say(f"The server listens at {ready['base_url']}")
                return _show(source, Client(ready["url"], ready["first_key"]), options.json)
    except KeyboardInterrupt:
        say("Interrupted; nothing is left running.")
        return INTERRUPTED


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _requests(given: Path | None) -> Path:
    """The file asked for, else the examples of the working folder or of the checkout that this module is part of."""
    places = [given] if given is not None else [REQUESTS, Path(__file__).resolve().parents[3] / REQUESTS]
    for place in places:
        if place.is_file():
            return place
    raise InputError(f"there is no {places[0]}; name a JSONL file with --file")


@contextmanager
def _server(folder: Path, base_url: str) -> Iterator[dict[str, Any]]:
    """The server's process for as long as the block runs. It ends with this one: it watches its standard input."""
    config = folder / "batchrouter.yaml"
    config.write_text(CONFIG.format(base_url=base_url))
    command = [sys.executable, "-m", "batchrouter.cli", "serve", "--port", "0", "--json", "--exit-with-stdin"]
    command += ["--data", str(folder / "data"), "--config", str(config), "--log-level", "error"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(part for part in sys.path if part)}
    environment.pop("BATCHROUTER_API_KEY", None)  # so that the first start makes a key, and tells it
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        ready = msgspec.json.decode(line) if line else {}
        if not ready.get("ok"):
            raise ConfigError(f"the server did not start: {ready.get('error', {}).get('message', 'it told no reason')}")
        yield ready
    finally:
        process.stdin.close()
        try:
            process.wait(STOP_S)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            process.kill()
            process.wait()
        process.stdout.close()


def _show(source: Path, client: Client, as_json: bool) -> int:
    data = source.read_bytes()
    begun_s = time.perf_counter()
    file = _upload(client, source.name, data)
    say(f"Uploaded {source} as {file['id']}: {count(file['num_rows'])} lines, {count(file['bytes'])} bytes")
    endpoint = msgspec.json.decode(data.split(b"\n", 1)[0])["url"]
    batch = client.json(
        "POST", "/v1/batches", {"input_file_id": file["id"], "endpoint": endpoint, "completion_window": "24h"}
    )
    say(f"Created {batch['id']} on {endpoint}")
    created_s = time.perf_counter()
    batch = _wait(client, batch)
    took_s = time.perf_counter() - created_s
    answers = _answers(client, batch["output_file_id"])
    counts, usage = batch["request_counts"], batch["usage"]
    told = {
        "ok": batch["status"] == "completed" and counts["completed"] == counts["total"],
        "status": batch["status"],
        "request_counts": counts,
        "usage": usage,
        "seconds": round(took_s, 3),
        "seconds_with_upload_and_download": round(time.perf_counter() - begun_s, 3),
        "lines_per_s": round(counts["total"] / took_s, 1),
        "tokens_per_s": round(usage["total_tokens"] / took_s, 1),
        "answers": [{"custom_id": custom_id, "answer": answer} for custom_id, answer in answers[:SHOWN]],
    }
    if as_json:
        emit(told)
    else:
        _print(told)
    return OK if told["ok"] else SOME_FAILED


def _upload(client: Client, name: str, data: bytes) -> dict[str, Any]:
    boundary = "batchrouter-demo-7d3b1f"
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        "Content-Type: application/jsonl\r\n\r\n"
    )
    body = head.encode() + data + f"\r\n--{boundary}--\r\n".encode()
    reply = client.call("POST", "/v1/files", body, {"content-type": f"multipart/form-data; boundary={boundary}"})
    file: dict[str, Any] = msgspec.json.decode(reply)
    return file


def _wait(client: Client, batch: dict[str, Any]) -> dict[str, Any]:
    """Poll to the end, with a bar on a terminal and a plain line a second elsewhere."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(batch["status"], total=None)
        polls = 0
        while batch["status"] not in FINAL:
            time.sleep(POLL_S)
            batch = client.json("GET", f"/v1/batches/{batch['id']}")
            counts = batch["request_counts"]
            done = counts["completed"] + counts["failed"]
            progress.update(task, description=batch["status"], total=counts["total"] or None, completed=done)
            polls += 1
            if not console.is_terminal and polls % 10 == 0:
                say(f"{batch['status']}: {count(done)} of {count(counts['total'])}")
    return batch


def _answers(client: Client, file_id: str | None) -> list[tuple[str, str]]:
    """(custom_id, text) of each line of the output, downloaded whole."""
    if file_id is None:
        return []
    content = client.call("GET", f"/v1/files/{file_id}/content")
    lines = [msgspec.json.decode(line) for line in content.splitlines()]
    return [(line["custom_id"], _text_of(line["response"]["body"])) for line in lines]


def _text_of(body: dict[str, Any]) -> str:
    """The answer of a chat; of anything else its JSON."""
    choices = body.get("choices")
    message = choices[0].get("message", {}) if choices else {}
    text = message.get("content") or msgspec.json.encode(message.get("tool_calls") or body).decode()
    return text if len(text) <= ANSWER_CHARS else f"{text[:ANSWER_CHARS]}…"


def _print(told: dict[str, Any]) -> None:
    counts, usage = told["request_counts"], told["usage"]
    tell(
        f"\n{told['status']}: {count(counts['total'])} lines, {count(counts['completed'])} ok, "
        f"{count(counts['failed'])} failed\n"
        f"  time      {seconds(told['seconds'])} from create to the end, {told['lines_per_s']:,.0f} lines/s\n"
        f"  tokens    {count(usage['input_tokens'])} in, {count(usage['output_tokens'])} out, "
        f"{told['tokens_per_s']:,.0f} tokens/s\n"
        "  answers"
    )
    for answer in told["answers"]:
        tell(f"    {answer['custom_id']}: {answer['answer']}")
