"""Whether a batch is what was promised: pure functions from what was asked and what came, to what is wrong."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from tests.chaos.evidence import FOREVER, Call, Case, Line
from tests.lines import FINAL, records

GAPS = {"expired": "batch_expired", "cancelled": "batch_cancelled"}


def faults_of(case: Case) -> list[str]:
    """What is wrong with one batch, its files and its counts; nothing, if all is well."""
    name = f"{case.tenant} {case.batch_id}"
    if not case.batch_id:
        return [f"{case.tenant} batch {case.number} could not be created"]
    if case.batch is None or case.batch["status"] not in FINAL:
        return [f"{name} is not final: {json.dumps(case.batch)[:400]}"]
    return [f"{name} ({case.batch['status']}): {fault}" for fault in _faults(case, case.batch)]


def _faults(case: Case, batch: Mapping[str, Any]) -> list[str]:
    status = batch["status"]
    allowed = {"completed"} | ({"cancelled"} if case.cancel_asked else set())
    if case.window != FOREVER:
        allowed.add("expired")
    faults = [] if status in allowed else [f"may only be {sorted(allowed)}"]
    output, errors = records(case.output), records(case.errors)
    gap = GAPS.get(status)
    gaps = [record for record in errors if gap is not None and (record["error"] or {}).get("code") == gap]
    refused = [record for record in errors if record not in gaps] if gaps else errors
    total = len(case.lines)
    expected = {"total": total, "completed": len(output), "failed": len(refused)}
    if status == "cancelled" and not case.output and not case.errors and not batch["request_counts"]["total"]:
        return faults  # cancelled before it was planned
    if batch["request_counts"] != expected:
        faults.append(f"counts {batch['request_counts']}, files {expected}")
    if len(output) + len(errors) != total:
        faults.append(f"{len(output)} + {len(errors)} lines of {total}")
    faults += _whose(case.lines, output, errors)
    by_id = {line.asked.custom_id: line for line in case.lines}
    for record in output:
        line = by_id.get(record["custom_id"])
        if line is not None and not _answers(line, record):
            faults.append(f"{line.marker} has another answer: {json.dumps(record)[:300]}")
    for record in refused:
        line = by_id.get(record["custom_id"])
        if line is not None and not (line.poison and _status(record) == 400):
            faults.append(f"{line.marker} failed: {json.dumps(record)[:300]}")
    used = sum(record["response"]["body"]["usage"]["total_tokens"] for record in output)
    if (batch.get("usage") or {"total_tokens": 0})["total_tokens"] != used:
        faults.append(f"usage {batch.get('usage')}, files {used}")
    return faults


def _whose(lines: Sequence[Line], output: Sequence[Any], errors: Sequence[Any]) -> list[str]:
    """Each line once, in one of the files, each file in the order of the input."""
    faults = []
    asked = [line.asked.custom_id for line in lines]
    told = Counter(record["custom_id"] for record in [*output, *errors])
    faults += [f"{custom_id} stands {told[custom_id]} times" for custom_id in asked if told[custom_id] != 1]
    faults += [f"{custom_id} was never asked" for custom_id in told if custom_id not in set(asked)]
    for name, found in (("output", output), ("errors", errors)):
        ids = [record["custom_id"] for record in found]
        if ids != [each for each in asked if each in set(ids)]:
            faults.append(f"the {name} file is not in the order of the input")
    if len({record["id"] for record in [*output, *errors]}) != len(output) + len(errors):
        faults.append("records share an id")
    return faults


def _answers(line: Line, record: Mapping[str, Any]) -> bool:
    response = record["response"]
    if record["error"] is not None or line.poison or response["status_code"] != 200:
        return False
    body = response["body"]
    if line.translated:  # its upstream has seen other bytes; the echo names the line
        return line.marker in body["choices"][0]["message"]["content"].split()
    return bool(body == line.asked.answer)


def _status(record: Mapping[str, Any]) -> int:
    return int((record["response"] or {"status_code": 0})["status_code"])


def unpaid(cases: Sequence[Case], calls: Sequence[Call]) -> list[str]:
    """Answers that nobody gave, and usage that is not that of the upstream's log."""
    tokens: dict[str, set[int]] = {}
    for call in calls:
        if call.answered and call.status == 200:
            tokens.setdefault(call.marker, set()).add(call.tokens)
    faults = []
    for case in cases:
        by_id = {line.asked.custom_id: line for line in case.lines}
        used = 0
        for record in records(case.output):
            line = by_id.get(record["custom_id"])
            if line is None:
                continue
            found = tokens.get(line.marker, set())
            if len(found) != 1:
                faults.append(f"{case.batch_id}: the upstream's log has {len(found)} answers to {line.marker}")
            used += sum(found)
        told = ((case.batch or {}).get("usage") or {"total_tokens": 0})["total_tokens"]
        if used != told:
            faults.append(f"{case.batch_id}: usage {told}, by the upstream's log {used}")
    return faults
