"""OpenAI's Batch API, and those that took it over: Azure's, Groq's, and Gemini's OpenAI-compatible one."""

from __future__ import annotations

import math
import uuid
from typing import Any

from batchrouter.simulator.jobs import ENDED, Phase
from batchrouter.simulator.native.bench import Bench
from batchrouter.simulator.native.calls import Call, metadata_of, of_kind, told, wanted
from batchrouter.simulator.native.dialects import HOUR_S, Dialect, window_hours
from batchrouter.simulator.native.lines import endpoint_of
from batchrouter.simulator.native.openai_files import EXPIRY_S, KEPT_S, page_of
from batchrouter.simulator.native.refusal import Refused
from batchrouter.simulator.native.run import Order, Run
from batchrouter.simulator.reply import Reply

NO_RETRY = (("x-should-retry", "false"),)


class OpenAIBatches:
    """The calls under `/batches`."""

    def __init__(self, bench: Bench, dialect: Dialect) -> None:
        self._bench = bench
        self._dialect = dialect

    def handle(self, call: Call) -> Reply:
        match call.method, self._named(call.path):
            case "POST", []:
                return self._create(call)
            case "GET", []:
                limit = call.number("limit", 20, 1, 100)
                runs = self._bench.listed(self._dialect, call.now_s)
                return told(page_of([self._told(run, call.now_s) for run in runs], call.asked("after"), limit))
            case "GET", [batch_id]:
                return told(self._told(self._found(batch_id), call.now_s))
            case "POST", [batch_id, "cancel"]:
                return self._cancel(call, batch_id)
            case _:
                raise Refused(404, f"Invalid URL ({call.method} {call.path}).", code="unknown_url")

    def _named(self, path: str) -> list[str]:
        """What follows `/batches`: nothing, an id, or an id and a verb. Gemini's ids hold a slash, verbs a colon."""
        rest = path.removeprefix("/batches").removeprefix("/")
        if self._dialect.name != "gemini" or not rest:
            return rest.split("/") if rest else []
        batch_id, _, verb = rest.removeprefix("batches/").replace(":", "/").partition("/")
        return [f"batches/{batch_id}", verb] if verb else [f"batches/{batch_id}"]

    def _create(self, call: Call) -> Reply:
        body = call.json()
        order = self._order(call, body)
        return self._bench.created(self._dialect, order, lambda run: told(self._told(run, call.now_s)))

    def _order(self, call: Call, body: dict[str, Any]) -> Order:
        """What is asked for. Raises Refused for what can be seen without the file's lines."""
        file_id: str = wanted(body, "input_file_id", str)
        endpoint = endpoint_of(wanted(body, "endpoint", str), self._dialect)
        window: str = wanted(body, "completion_window", str)
        if endpoint not in self._dialect.endpoints:
            supported = ", ".join(f"'{one}'" for one in self._dialect.endpoints)
            message = f"Invalid value: '{endpoint}'. Supported values are: {supported}."
            raise Refused(400, message, code="invalid_value", param="endpoint")
        hours, (least, most) = window_hours(window), self._dialect.hours
        if hours is None or not least <= hours <= most:
            message = f"Invalid value: '{window}'. Supported values are: '24h'{f' to {most // 24}d' * (most > 24)}."
            raise Refused(400, message, code="invalid_value", param="completion_window")
        file = self._bench.shelf.get(file_id, call.now_unix)
        if file is not None and file.purpose != self._dialect.purpose:
            message = f"The purpose of file {file_id} is '{file.purpose}'; a batch wants '{self._dialect.purpose}'."
            raise Refused(400, message, code="invalid_value", param="input_file_id")
        return Order(
            id=f"batches/{uuid.uuid4().hex}batc" if self._dialect.name == "gemini" else f"batch_{uuid.uuid4().hex}",
            endpoint=endpoint,
            model="",
            input_file_id=file_id,
            content=file.content if file is not None else None,
            window_s=hours * HOUR_S,
            window=window,
            metadata=metadata_of(body),
            results_s=_results_s(body),
        )

    def _cancel(self, call: Call, batch_id: str) -> Reply:
        run = self._found(batch_id)
        phase = run.phase(call.now_s)
        if phase in ENDED and phase is not Phase.CANCELLED:
            raise Refused(409, f"Cannot cancel a batch with status '{phase.value}'.", headers=NO_RETRY)
        run.job.cancel(call.now_s)
        run.poke()
        return told(self._told(run, call.now_s))

    def _found(self, batch_id: str) -> Run:
        run = self._bench.found(self._dialect, batch_id)
        if run is None:
            raise Refused(404, f"No batch found with id '{batch_id}'.")
        return run

    def _told(self, run: Run, now_s: float) -> dict[str, object]:
        phase, job = run.phase(now_s), run.job
        ended = job.ended_s() if phase in ENDED else None
        window_s = run.order.window_s if job.expires_s is None else job.expires_s - job.created_s
        errors = [
            {"code": error.code, "message": error.message, "param": error.param, "line": error.line}
            for error in (job.failure() if phase is Phase.FAILED else ())
        ]

        def at(moment_s: float | None) -> int | None:
            """A moment that has come, as unix seconds."""
            if moment_s is None or moment_s == math.inf or moment_s > now_s:
                return None
            unix = run.unix(moment_s)
            return None if unix is None else int(unix)

        return {
            "id": run.id,
            "object": "batch",
            "endpoint": run.path,
            "model": run.model or None,
            "errors": {"object": "list", "data": errors} if errors else None,
            "input_file_id": run.order.input_file_id,
            "completion_window": run.order.window,
            "status": phase.value,
            "output_file_id": run.output_file_id,
            "error_file_id": run.error_file_id,
            "created_at": int(run.created_unix),
            "in_progress_at": at(job.validated_s) if phase is not Phase.FAILED else None,
            "expires_at": int(run.created_unix) + math.ceil(window_s),
            "finalizing_at": at(job.worked_s()) if phase is not Phase.FAILED else None,
            "completed_at": at(ended) if phase is Phase.COMPLETED else None,
            "failed_at": at(ended) if phase is Phase.FAILED else None,
            "expired_at": at(ended) if phase is Phase.EXPIRED else None,
            "cancelling_at": at(job.cancelling_s),
            "cancelled_at": at(ended) if phase is Phase.CANCELLED else None,
            "request_counts": {
                "total": 0 if phase in (Phase.VALIDATING, Phase.FAILED) else job.total,
                "completed": run.completed,
                "failed": run.failed,
            },
            "usage": {
                "input_tokens": run.used.input,
                "input_tokens_details": {"cached_tokens": run.used.cached},
                "output_tokens": run.used.output,
                "output_tokens_details": {"reasoning_tokens": run.used.reasoning},
                "total_tokens": run.used.input + run.used.output,
            },
            "metadata": run.order.metadata,
        }


def _results_s(body: dict[str, Any]) -> float:
    """How long result files are kept."""
    after = body.get("output_expires_after")
    if after is None:
        return KEPT_S
    seconds = of_kind(of_kind(after, "output_expires_after", dict).get("seconds"), "output_expires_after.seconds", int)
    least, most = EXPIRY_S
    if after.get("anchor") != "created_at" or not least <= seconds <= most:
        message = f"'output_expires_after' wants the anchor 'created_at' and {least} to {most} seconds."
        raise Refused(400, message, code="invalid_value", param="output_expires_after")
    return float(seconds)
