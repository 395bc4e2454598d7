"""Mistral's batch jobs. Its files are OpenAI's, see `openai_files`.

Facts: Mistral's own client, for paths, members and words; its documentation, for limits.
"""

from __future__ import annotations

import uuid
from collections import Counter
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

from batchrouter.simulator.jobs import ENDED, Phase
from batchrouter.simulator.native.bench import Bench
from batchrouter.simulator.native.calls import Call, metadata_of, of_kind, told, wanted
from batchrouter.simulator.native.dialects import DAY_S, HOUR_S, Dialect
from batchrouter.simulator.native.refusal import Refused
from batchrouter.simulator.native.run import Order, Run
from batchrouter.simulator.reply import Reply

STATUSES = {
    Phase.VALIDATING: "QUEUED",
    Phase.IN_PROGRESS: "RUNNING",
    Phase.FINALIZING: "RUNNING",
    Phase.COMPLETED: "SUCCESS",
    Phase.FAILED: "FAILED",
    Phase.EXPIRED: "TIMEOUT_EXCEEDED",
    Phase.CANCELLING: "CANCELLATION_REQUESTED",
    Phase.CANCELLED: "CANCELLED",
}
PAGE_PARAMETERS = ("page", "page_size", "model", "agent_id", "created_after", "created_by_me", "status", "order_by")


class MistralJobs:
    """The calls under `/batch/jobs`."""

    def __init__(self, bench: Bench, dialect: Dialect) -> None:
        self._bench = bench
        self._dialect = dialect

    def handle(self, call: Call) -> Reply:
        match call.method, call.path.split("/")[3:]:
            case "POST", []:
                return self._create(call)
            case "GET", []:
                return self._list(call)
            case "GET", [job_id]:
                return told(self._told(self._found(job_id), call.now_s))
            case "POST", [job_id, "cancel"]:
                run = self._found(job_id)
                run.job.cancel(call.now_s)
                run.poke()
                return told(self._told(run, call.now_s))
            case _:
                raise Refused(404, f"No route for {call.method} {call.path}.")

    def _create(self, call: Call) -> Reply:
        body = call.json()
        order = self._order(call, body)
        return self._bench.created(self._dialect, order, lambda run: told(self._told(run, call.now_s)))

    def _order(self, call: Call, body: dict[str, Any]) -> Order:
        endpoint: str = wanted(body, "endpoint", str)
        files: list[Any] = wanted(body, "input_files", list)
        model: str = wanted(body, "model", str)
        if endpoint not in self._dialect.endpoints:
            raise Refused(422, f"'{endpoint}' is no endpoint of batches.", param="endpoint")
        if len(files) != 1:
            raise Refused(422, "The simulator takes one input file for a job.", param="input_files")
        hours = of_kind(body.get("timeout_hours", 24), "timeout_hours", int)
        least, most = self._dialect.hours
        if not least <= hours <= most:
            raise Refused(422, f"'timeout_hours' must be {least} to {most}.", param="timeout_hours")
        file = self._bench.shelf.get(of_kind(files[0], "input_files.0", str), call.now_unix)
        if file is None:
            raise Refused(404, f"There is no file {files[0]}.", param="input_files")
        return Order(
            id=str(uuid.uuid4()),
            endpoint=endpoint,
            model=model,
            input_file_id=file.id,
            content=file.content,
            window_s=hours * HOUR_S,
            window=f"{hours}h",
            metadata=metadata_of(body),
            results_s=DAY_S,
        )

    def _list(self, call: Call) -> Reply:
        size = call.number("page_size", 100, 1, 1_000)
        start = call.number("page", 0, 0, 1_000_000) * size
        jobs = [
            self._told(run, call.now_s) for run in self._bench.listed(self._dialect, call.now_s) if _fits(call, run)
        ]
        if call.asked("order_by") == "created":
            jobs.reverse()
        return told({"object": "list", "data": jobs[start : start + size], "total": len(jobs)})

    def _found(self, job_id: str) -> Run:
        run = self._bench.found(self._dialect, job_id)
        if run is None:
            raise Refused(404, f"There is no batch job {job_id}.")
        return run

    def _told(self, run: Run, now_s: float) -> dict[str, object]:
        phase, job = run.phase(now_s), run.job
        ended = job.ended_s() if phase in ENDED else None
        errors = Counter(error.message for error in (job.failure() if phase is Phase.FAILED else ()))
        started = run.unix(job.validated_s) if phase is not Phase.VALIDATING else None
        completed = run.unix(ended)
        return {
            "id": run.id,
            "object": "batch",
            "input_files": [run.order.input_file_id],
            "metadata": run.order.metadata,
            "endpoint": run.path,
            "model": run.model,
            "agent_id": None,
            "output_file": run.output_file_id,
            "error_file": run.error_file_id,
            "errors": [{"message": message, "count": count} for message, count in errors.items()],
            "outputs": None,
            "status": STATUSES[phase],
            "created_at": int(run.created_unix),
            "total_requests": job.total,
            "completed_requests": run.completed + run.failed,
            "succeeded_requests": run.completed,
            "failed_requests": run.failed,
            "started_at": None if started is None else int(started),
            "completed_at": None if completed is None else int(completed),
        }


def _fits(call: Call, run: Run) -> bool:
    """Whether a job is among those that a listing asks for; metadata are parameters of their own names."""
    statuses, model, after = call.asked_all("status"), call.asked("model"), call.asked("created_after")
    if statuses and STATUSES[run.phase(call.now_s)] not in statuses:
        return False
    if model is not None and run.model != model:
        return False
    if after is not None and run.created_unix <= _moment(after):
        return False
    wanted = {name: value for name, value in parse_qsl(call.request.query) if name not in PAGE_PARAMETERS}
    return wanted.items() <= (run.order.metadata or {}).items()


def _moment(text: str) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise Refused(422, "'created_after' is no time.", param="created_after") from None
