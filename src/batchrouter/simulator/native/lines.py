"""The input of a job: where its lines are, and whether the whole of it is fit to run. Pure but for reading the file."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from batchrouter.simulator.jobscript import JobError
from batchrouter.simulator.native.dialects import Dialect
from batchrouter.simulator.spool import PIECE_BYTES, Part

ERRORS_MAX = 1_000
BOM = b"\xef\xbb\xbf"


class _Written(Struct):
    """A line as it was written; members of the wrong type must not hide the other ones."""

    custom_id: object | UnsetType = UNSET
    method: object | UnsetType = UNSET
    url: object | UnsetType = UNSET
    body: Raw | UnsetType = UNSET


class _Body(Struct):
    model: object | UnsetType = UNSET
    stream: object | UnsetType = UNSET
    messages: Raw | UnsetType = UNSET


class Line(Struct):
    """A line to be run. `body` as it was sent, byte for byte."""

    custom_id: str
    body: bytes


_written = msgspec.json.Decoder(_Written)
_body = msgspec.json.Decoder(_Body)
BAD_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def stretches(content: Part) -> Iterator[tuple[int, bytes]]:
    """Every line without its end, with where it begins. A last line needs no end."""
    at, kept = 0, b""
    for piece in content.pieces():
        lines = (kept + piece).split(b"\n")
        kept = lines.pop()
        for line in lines:
            yield at, line.removesuffix(b"\r")
            at += len(line) + 1
    if kept:
        yield at, kept.removesuffix(b"\r")


class InputJudge:
    """Takes the lines one after the other; afterwards holds where they are, the model, and what is wrong.

    `serves` tells whether a model exists here. `tokens` counts four bytes of a body as one.
    """

    def __init__(self, dialect: Dialect, endpoint: str, model: str, serves: Callable[[str], bool]) -> None:
        self.model = model
        self.tokens = 0
        self.errors: list[JobError] = []
        self._dialect = dialect
        self._endpoint = endpoint
        self._serves = serves
        self._starts = array("Q")
        self._lengths = array("L")
        self._number = 0
        self._ids: set[str] = set()

    def __len__(self) -> int:
        return len(self._starts)

    def take(self, start: int, raw: bytes) -> None:
        self._number += 1
        if not raw.strip():
            return
        found = self._judge(raw)
        if found is not None and len(self.errors) < ERRORS_MAX:
            code, message, param = found
            code = self._dialect.codes.get(code, code)
            self.errors.append(JobError(code=code, message=message, line=self._number, param=param))
        self._starts.append(start)
        self._lengths.append(len(raw))

    def close(self, max_requests: int) -> None:
        """All lines were taken: judge their number, and let go of what only judging needed."""
        self._ids.clear()
        if not self._starts:
            self.errors.append(JobError(code="empty_file", message="The input file has no requests."))
        elif len(self._starts) > max_requests:
            code = self._dialect.codes.get("too_many_requests", "too_many_requests")
            message = f"The input file has {len(self._starts)} requests; the limit is {max_requests}."
            self.errors = [JobError(code=code, message=message)]

    def line(self, content: Part, index: int) -> Line:
        """The line with this index, from 0."""
        written = _written.decode(content.read(self._starts[index], self._lengths[index]))
        custom_id = written.custom_id if isinstance(written.custom_id, str) else ""
        return Line(custom_id, bytes(written.body) if isinstance(written.body, Raw) else b"")

    def _judge(self, raw: bytes) -> tuple[str, str, str | None] | None:
        """The first thing that is wrong with a line: code, message, param."""
        if raw.startswith(BOM) and self._dialect.name == "azure":
            return "model_not_found", "The model of this request was not found.", "body.model"  # sic: told of a BOM
        try:
            written = _written.decode(raw)
        except BAD_JSON:
            return "invalid_json_line", "This line is not parseable as valid JSON.", None
        wanted = ("custom_id", "method", "url", "body") if self._dialect.whole_lines else ("body",)
        for name in wanted:
            if getattr(written, name) is UNSET:
                return "missing_required_parameter", f"Missing required parameter: '{name}'.", name
        return self._judge_envelope(written) or self._judge_body(written.body)

    def _judge_envelope(self, written: _Written) -> tuple[str, str, str | None] | None:
        custom_id = written.custom_id
        if isinstance(custom_id, str):
            if custom_id in self._ids:
                return "duplicate_custom_id", "Another request of this batch has the same custom_id.", "custom_id"
            self._ids.add(custom_id)
        elif self._dialect.whole_lines or custom_id is not UNSET:
            return "invalid_type", "Invalid type for 'custom_id': expected a string.", "custom_id"
        if not self._dialect.whole_lines:
            return None
        if written.method != "POST":
            return "invalid_method", "The method of a request must be POST.", "method"
        if endpoint_of(written.url, self._dialect) != self._endpoint:
            return "invalid_url", "The URL of this request does not match the endpoint of the batch.", "url"
        return None

    def _judge_body(self, raw: Raw | UnsetType) -> tuple[str, str, str | None] | None:
        assert isinstance(raw, Raw)
        try:
            body = _body.decode(raw)
        except BAD_JSON:
            return "invalid_request", "The body of a request must be a JSON object.", "body"
        self.tokens += -(-len(bytes(raw)) // 4)
        if self._dialect.whole_lines:
            if not isinstance(body.model, str) or not body.model:
                return "invalid_request", "Model parameter is required.", "body.model"
            if self.model and body.model != self.model:
                return "mismatched_model", "All requests of a batch must be for the same model.", "body.model"
            self.model = body.model
            if not self._serves(body.model):
                message = f"The provided model '{body.model}' is not supported by the Batch API."
                return "model_not_found", message, "body.model"
        if body.stream is True:
            return "streaming_unsupported", "Streaming is not supported in the Batch API.", "body.stream"
        if self._endpoint == "/v1/chat/completions" and body.messages is UNSET:
            return "invalid_request", "Messages parameter is required.", "body.messages"
        return None


def endpoint_of(url: object, dialect: Dialect) -> str:
    """The path that a line or a job names; Azure's may come without its version."""
    path = url if isinstance(url, str) else ""
    if dialect.name == "azure" and not path.startswith("/v1/"):
        return f"/v1{path}"
    return path


def first_model(content: Part | None) -> str:
    """The model of the first line; empty where that cannot be told at a glance."""
    if content is None:
        return ""
    _, raw = next(stretches(content.part(0, PIECE_BYTES)), (0, b""))
    try:
        body = _body.decode(_written.decode(raw).body or b"")
    except BAD_JSON:
        return ""
    return body.model if isinstance(body.model, str) else ""


def is_jsonl(content: Part) -> bool:
    """Whether the first line that is not blank is a JSON object, as far as its first piece tells."""
    first = content.read(0, PIECE_BYTES).removeprefix(BOM).lstrip()
    line, end, _ = first.partition(b"\n")
    if not line:
        return False
    if not end and content.length > PIECE_BYTES:
        return line.startswith(b"{")
    try:
        return isinstance(msgspec.json.decode(line), dict)
    except BAD_JSON:
        return False
