"""Which native API a path belongs to, whose key it wants, and how it words a refusal.

| path | dialect |
|---|---|
| /v1/files, /v1/batches | the simulator's own dialect (azure's stand elsewhere, and gemini's batches too: openai) |
| /v1/batch/jobs | mistral |
| /openai/v1/..., /openai/... | groq when that is the simulator's dialect, else azure |
| /v1beta/openai/..., /v1beta/files, /upload/v1beta/files, /download/v1beta/files (or v1) | gemini |
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import unquote

from batchrouter.simulator.answers import error_body
from batchrouter.simulator.native.bench import Bench
from batchrouter.simulator.native.calls import Call, told
from batchrouter.simulator.native.dialects import DIALECTS
from batchrouter.simulator.native.gemini_files import GeminiFiles
from batchrouter.simulator.native.mistral import MistralJobs
from batchrouter.simulator.native.openai_batches import OpenAIBatches
from batchrouter.simulator.native.openai_files import OpenAIFiles
from batchrouter.simulator.native.refusal import Refused
from batchrouter.simulator.native.together import STORE, TogetherBatches, TogetherFiles
from batchrouter.simulator.reply import Reply
from batchrouter.simulator.request import Request

if TYPE_CHECKING:
    from batchrouter.simulator.connection import Arrived
    from batchrouter.simulator.server import Simulator

PREFIXES = ("/v1/files", "/v1/batch", "/openai/", "/v1beta/", "/upload/", "/download/", STORE)
GOOGLE_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ALREADY_EXISTS",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}

_google_path = re.compile(r"(?:(?P<upload>/upload)|/download)?/(?:v1beta|v1)(?P<rest>/.*)")

Handler = Callable[[Call], Reply]


class Place:
    """Where a call belongs: the family whose words are used, the path within it, and who handles it.

    `handler` None: a model's own call, under another path than OpenAI's.
    """

    __slots__ = ("family", "handler", "path")

    def __init__(self, family: str, path: str, handler: Handler | None) -> None:
        self.family = family
        self.path = path
        self.handler = handler


class NativeApis:
    """Everything under `PREFIXES`."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._bench = bench = Bench(simulator)
        self._batches = {name: OpenAIBatches(bench, DIALECTS[name]) for name in ("openai", "azure", "groq", "gemini")}
        self._files = {name: OpenAIFiles(bench, DIALECTS[name]) for name in ("openai", "azure", "groq", "mistral")}
        self._mistral = MistralJobs(bench, DIALECTS["mistral"])
        self._together = TogetherBatches(bench, DIALECTS["together"])
        self._together_files = TogetherFiles(bench)
        self._gemini_files = GeminiFiles(bench)

    def clear(self) -> None:
        """Forget all files and uploads."""
        self._bench.shelf.clear()
        self._gemini_files.clear()

    @staticmethod
    def knows(path: str) -> bool:
        return path.startswith(PREFIXES)

    def reply(self, arrived: Arrived, request: Request, in_flight: int, now_s: float) -> Reply:
        """What a request to one of these paths gets."""
        place = self._place(unquote(request.path))
        try:
            self._check_key(place, request)
            if place.handler is None:
                request.path = place.path
                return self._simulator.behaviour.decide(request, in_flight, now_s)
            return self._simulator.behaviour.around(request, now_s, lambda: self._handled(place, arrived, request))
        except Refused as refused:
            return self._worded(place.family, refused)

    def _handled(self, place: Place, arrived: Arrived, request: Request) -> Reply:
        simulator = self._simulator
        host = request.header("host")
        call = Call(
            method=request.method,
            path=place.path,
            request=request,
            content=arrived.content,
            now_s=simulator.loop.time(),
            now_unix=simulator.unix_s(),
            base=f"{simulator.url.partition('://')[0]}://{host}" if host else simulator.url,
        )
        assert place.handler is not None
        try:
            return place.handler(call)
        except Refused as refused:
            return self._worded(place.family, refused)

    # --- where a path belongs ---------------------------------------------------------------------------------------

    def _place(self, path: str) -> Place:
        own = self._simulator.settings.batch_dialect
        if path.startswith(STORE):
            return Place("store", path, self._together_files.put)
        if path.startswith("/v1beta/openai/"):
            return self._placed("gemini", path.removeprefix("/v1beta/openai"))
        google = _google_path.fullmatch(path)
        if google is not None and (own == "gemini" or not path.startswith("/v1/")):
            rest = f"{google['upload'] or ''}{google['rest']}"
            return Place("google", rest, self._gemini_files.handle if _is_files(rest) else _nowhere)
        if path.startswith("/openai/"):
            rest = path.removeprefix("/openai").removeprefix("/v1")
            if rest.startswith("/deployments/"):
                rest = "/" + rest.partition("/deployments/")[2].partition("/")[2]
            return self._placed("groq" if own == "groq" else "azure", rest)
        return self._placed(own if own in ("groq", "mistral", "together") else "openai", path.removeprefix("/v1"))

    def _placed(self, family: str, path: str) -> Place:
        """A path within an API of OpenAI's form."""
        together, first = family == "together", path.split("/")[1]
        if path == "/batch/jobs" or path.startswith("/batch/jobs/"):
            return Place("mistral", path, self._mistral.handle)
        if first == "files" and (together or family in self._files):
            return Place(family, path, self._together_files.handle if together else self._files[family].handle)
        if first == "batches" and (together or family in self._batches):
            return Place(family, path, self._together.handle if together else self._batches[family].handle)
        return Place(family, f"/v1{path}", None)

    # --- keys and refusals ------------------------------------------------------------------------------------------

    def _check_key(self, place: Place, request: Request) -> None:
        """Raises Refused when the simulator has a key and this is not it, where this family looks for it."""
        key = self._simulator.settings.api_key
        if key is None or place.family == "store":
            return
        bearer = request.header("authorization") == f"Bearer {key}"
        match place.family:
            case "google":
                given = request.header("x-goog-api-key") == key or f"key={key}" in request.query.split("&")
                if given or "upload_id=" in request.query:  # the address of an upload under way is its own permission
                    return
                raise Refused(400, "API key not valid.", code="API_KEY_INVALID")
            case "gemini" if not bearer:
                raise Refused(400, "API key not valid.", code="API_KEY_INVALID")
            case "azure" if not bearer and request.header("api-key") != key:
                raise Refused(401, "Access denied: the key is not valid for this resource.", code="401")
            case "openai" | "groq" | "mistral" | "together" if not bearer:
                message = "Incorrect API key provided: it is not the key that this simulator was started with."
                raise Refused(401, message, code="invalid_api_key")

    def _worded(self, family: str, refused: Refused) -> Reply:
        reply = WORDINGS.get(family, _as_openai)(refused)
        reply.headers = reply.headers + list(refused.headers)
        if refused.retry_after_s is not None and family not in ("gemini", "google"):
            reply.headers = reply.headers + self._simulator.behaviour.retry_after(refused.retry_after_s)
        return reply


def _is_files(path: str) -> bool:
    return path in ("/files", "/upload/files") or path.startswith("/files/")


def _nowhere(call: Call) -> Reply:
    raise Refused(404, "The simulator does not play this part of the API.")


def _as_openai(refused: Refused) -> Reply:
    return Reply(refused.status, error_body(refused.message, refused.type, refused.param, refused.code))


def _as_mistral(refused: Refused) -> Reply:
    if refused.status == 401:
        return told({"detail": "Unauthorized"}, 401)
    if refused.status == 422 or refused.code in ("missing_required_parameter", "invalid_type"):
        where = ["body", *(refused.param or "").split(".")]
        return told({"detail": [{"type": refused.code or "value_error", "loc": where, "msg": refused.message}]}, 422)
    value = {"message": refused.message, "type": refused.type, "param": refused.param, "code": refused.code}
    return told({"object": "error", **value}, refused.status)


def _as_google(refused: Refused) -> Reply:
    return told(_google(refused), refused.status)


def _as_gemini(refused: Refused) -> Reply:
    """Google's error in a list of one, as its OpenAI-compatible endpoints have it."""
    return told([_google(refused)], refused.status)


def _google(refused: Refused) -> dict[str, object]:
    status = GOOGLE_STATUS.get(refused.status, "UNKNOWN")
    details: list[dict[str, object]] = []
    if refused.code == "API_KEY_INVALID":
        details.append({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": refused.code})
    elif refused.code is not None and refused.code.isupper():
        status = refused.code
    if refused.retry_after_s is not None:
        delay = f"{refused.retry_after_s:g}s"
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay})
    value: dict[str, object] = {"code": refused.status, "message": refused.message, "status": status}
    return {"error": value | ({"details": details} if details else {})}


WORDINGS: dict[str, Callable[[Refused], Reply]] = {
    "mistral": _as_mistral,
    "gemini": _as_gemini,
    "google": _as_google,
}
