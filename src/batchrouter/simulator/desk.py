"""Where jobs are handed in: the counters behind a script's `batches`, and which life a new job gets. Pure."""

from __future__ import annotations

import fnmatch

from batchrouter.simulator.jobscript import Batches, JobRule, Life, RefuseCreate


class Desk:
    """One script's section at work. Every question counts; a new script begins with a new desk."""

    def __init__(self, batches: Batches | None = None) -> None:
        self.batches = batches or Batches()
        self._refused = 0
        self._lost_creates = 0
        self._lost_uploads = 0
        self._seen = [0] * len(self.batches.jobs)

    def refusal(self) -> RefuseCreate | None:
        """Whether this call to make a job is refused. Asked before anything else about the call."""
        refuse = self.batches.refuse_create
        if refuse is None or (refuse.first is not None and self._refused >= refuse.first):
            return None
        self._refused += 1
        return refuse

    def loses_create(self) -> bool:
        """Whether the reply to this call, whose job was made, is lost."""
        if self._lost_creates >= self.batches.lost_create:
            return False
        self._lost_creates += 1
        return True

    def loses_upload(self) -> bool:
        """Whether the reply to this upload, whose file is kept, is lost."""
        if self._lost_uploads >= self.batches.lost_uploads:
            return False
        self._lost_uploads += 1
        return True

    def life(self, model: str, path: str) -> Life:
        """The life of a new job: that of the first rule that matches, else the section's own."""
        for number, rule in enumerate(self.batches.jobs):
            if self._matches(number, rule, model, path):
                return rule.then
        return self.batches

    def _matches(self, number: int, rule: JobRule, model: str, path: str) -> bool:
        match = rule.match
        if match.model is not None and not fnmatch.fnmatchcase(model, match.model):
            return False
        if match.path is not None and not fnmatch.fnmatchcase(path, match.path):
            return False
        self._seen[number] += 1
        if match.first is not None and self._seen[number] > match.first:
            return False
        return match.every is None or self._seen[number] % match.every == 0
