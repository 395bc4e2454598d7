"""/v1/messages/batches: the calls about Message Batches (contract, section 8).

The envelope is judged at create, the `params` of each line when it is run. Not known of the real API and chosen here:
the statuses of a result asked for too early (404), of a cancel after the end and of a delete before it (400).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta, Struct

from batchrouter.errors import ApiError
from batchrouter.simulator.anthropic.batch_run import BatchRun, Line
from batchrouter.simulator.anthropic.errors import bad, missing, refusal, refusal_of, request_id
from batchrouter.simulator.anthropic.paging import page_of
from batchrouter.simulator.anthropic.surface import VERSION, check_version
from batchrouter.simulator.anthropic.wire import decoded
from batchrouter.simulator.reply import Reply
from batchrouter.simulator.request import Request

if TYPE_CHECKING:
    from batchrouter.simulator.server import Simulator

BATCHES = "/v1/messages/batches"
REQUESTS_MAX = 100_000
BYTES_MAX = 256_000_000
BYTES_PER_TOKEN = 4

_json = msgspec.json.Encoder().encode


class _Item(Struct, forbid_unknown_fields=True):
    custom_id: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    params: msgspec.Raw


class _Create(Struct, forbid_unknown_fields=True):
    requests: list[_Item]


_create = msgspec.json.Decoder(_Create)


class MessageBatches:
    """The jobs themselves stand in the simulator's book."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    def handle(self, request: Request, now_s: float) -> Reply:
        """Any call under the path. Never raises."""
        try:
            check_version(request.header(VERSION))
            reply = self._handled(request, now_s)
        except ApiError as error:
            return refusal_of(error, request.number)
        reply.headers = [*reply.headers, ("request-id", request_id(request.number))]
        return reply

    def _handled(self, request: Request, now_s: float) -> Reply:
        name, _, verb = request.path.removeprefix(BATCHES).removeprefix("/").partition("/")
        match request.method, bool(name), verb:
            case "POST", False, "":
                return self._created(request, now_s)
            case "GET", False, "":
                return self._listed(request, now_s)
            case "GET", True, "":
                return self._told(self._found(name), request, now_s)
            case "DELETE", True, "":
                return self._deleted(self._found(name), now_s)
            case "POST", True, "cancel":
                return self._cancelled(self._found(name), request, now_s)
            case "GET", True, "results":
                return self._results(self._found(name), now_s)
            case _:
                raise missing(f"{request.method} {request.path}: there is nothing of this kind.")

    def _created(self, request: Request, now_s: float) -> Reply:
        desk = self._simulator.desk
        refuse = desk.refusal()
        if refuse is not None:
            wait_s = refuse.retry_after_s
            reply = refusal(refuse.status, request.number, type=refuse.type, message=refuse.message, code=refuse.code)
            if wait_s is not None:
                reply.headers = reply.headers + self._simulator.behaviour.retry_after(wait_s)
            return reply
        lines = self._lines(request.body)
        tokens = len(request.body) // BYTES_PER_TOKEN
        most = desk.batches.enqueued_tokens
        if most is not None and self._enqueued(now_s) + tokens > most:
            message = "This request would exceed the limit of requests waiting in the batch queue. Try again later."
            raise ApiError(429, message, type="rate_limit_error")
        run = BatchRun(self._simulator, lines, tokens, now_s)
        self._simulator.jobs.add(run, now_s)
        reply = self._told(run, request, now_s)
        if desk.loses_create():
            reply.fault = "close"
        return reply

    def _lines(self, body: bytes) -> list[Line]:
        """What the envelope holds. Raises ApiError."""
        batches = self._simulator.desk.batches
        if len(body) > (batches.max_bytes or BYTES_MAX):
            raise ApiError(413, "Request exceeds the maximum size")
        items = decoded(_create, body).requests
        if not items:
            raise bad("requests: List should have at least 1 item after validation, not 0")
        most = batches.max_requests or REQUESTS_MAX
        if len(items) > most:
            raise bad(f"requests: List should have at most {most} items after validation, not {len(items)}")
        seen: set[str] = set()
        for index, item in enumerate(items):
            if item.custom_id in seen:
                raise bad(f"requests.{index}.custom_id: '{item.custom_id}' is not unique in this batch")
            seen.add(item.custom_id)
        return [Line(item.custom_id, item.params) for item in items]

    def _enqueued(self, now_s: float) -> int:
        return sum(run.tokens for run in self._runs() if not run.has_ended(now_s))

    def _runs(self) -> list[BatchRun]:
        return [one for one in self._simulator.jobs if isinstance(one, BatchRun)]

    def _found(self, name: str) -> BatchRun:
        run = self._simulator.jobs.get(name)
        if not isinstance(run, BatchRun):
            raise missing(f"Message batch '{name}' was not found.")
        return run

    def _listed(self, request: Request, now_s: float) -> Reply:
        """Newest first, without those that are too new for a listing."""
        delay_s = self._simulator.desk.batches.list_delay_s
        runs = [run for run in reversed(self._runs()) if now_s - run.job.created_s >= delay_s]
        base = self._base(request)
        return Reply(200, _json(page_of([run.told(base, now_s) for run in runs], request.query)))

    def _told(self, run: BatchRun, request: Request, now_s: float) -> Reply:
        return Reply(200, _json(run.told(self._base(request), now_s)), model=run.model)

    def _cancelled(self, run: BatchRun, request: Request, now_s: float) -> Reply:
        """A second cancel changes nothing."""
        if run.has_ended(now_s) or not run.job.cancel(now_s):
            raise bad(f"Message batch '{run.id}' has ended already and cannot be canceled.")
        run.poke()
        return self._told(run, request, now_s)

    def _deleted(self, run: BatchRun, now_s: float) -> Reply:
        if not run.has_ended(now_s):
            raise bad(f"Message batch '{run.id}' is still being processed; cancel it first.")
        self._simulator.jobs.remove(run.id)
        return Reply(200, _json({"id": run.id, "type": "message_batch_deleted"}))

    def _results(self, run: BatchRun, now_s: float) -> Reply:
        if not run.has_ended(now_s):
            raise missing(f"Message batch '{run.id}' has no results yet.")
        return Reply(200, b"", "application/x-jsonl", file=run.results())

    def _base(self, request: Request) -> str:
        """Where the caller reached us: a client follows a URL with its key attached."""
        host = request.header("host")
        if host is None:
            return self._simulator.url
        return f"{'https' if self._simulator.settings.certfile else 'http'}://{host}"
