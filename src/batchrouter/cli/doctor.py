"""`batchrouter doctor`: is everything there that a server needs, and what is to be done."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path

from batchrouter.bootstrap.doctor import Finding, Grade, examine
from batchrouter.cli.settings import given_folder, load_config
from batchrouter.cli.words import OK, SOME_FAILED, emit, tell
from batchrouter.errors import ConfigError

SIGNS = {Grade.OK: "ok     ", Grade.WARNING: "warning", Grade.FAULT: "FAULT  "}
WIDTH = 26


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorOptions:
    data: Path | None = None
    config: Path | None = None
    offline: bool = False
    json: bool = False


def doctor(options: DoctorOptions) -> int:
    """1 when there is a fault. A configuration that cannot be read is one."""
    found = asyncio.run(_examine(options))
    faults = sum(each.grade is Grade.FAULT for each in found)
    warnings = sum(each.grade is Grade.WARNING for each in found)
    if options.json:
        told = [{"what": each.what, "grade": each.grade, "says": each.says, "todo": each.todo} for each in found]
        emit({"ok": not faults, "faults": faults, "warnings": warnings, "findings": told})
    else:
        tell(f"{faults} faults, {warnings} warnings" if faults or warnings else "All is well.")
    return SOME_FAILED if faults else OK


async def _examine(options: DoctorOptions) -> list[Finding]:
    found: list[Finding] = []

    def heard(finding: Finding) -> None:
        found.append(finding)
        if not options.json:
            tell(_words(finding))

    try:
        config = load_config(options.config)
        data = given_folder(options.data, config)
    except ConfigError as error:
        heard(Finding("configuration", Grade.FAULT, str(error), "mend it, and ask again: nothing else was looked at"))
        return found
    heard(Finding("configuration", Grade.OK, f"{len(config.providers)} providers: {', '.join(config.providers)}"))
    async for finding in examine(config, data, os.environ, offline=options.offline):
        heard(finding)
    return found


def _words(finding: Finding) -> str:
    line = f"{SIGNS[finding.grade]}  {finding.what:<{WIDTH}}  {finding.says}"
    return line if finding.todo is None else f"{line}\n{'':{len(SIGNS[Grade.OK]) + WIDTH + 4}}-> {finding.todo}"
