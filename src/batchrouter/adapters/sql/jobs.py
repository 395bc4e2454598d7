"""Reading jobs' rows, which both sides of the store do."""

from __future__ import annotations

import sqlalchemy as sa

from batchrouter.adapters.sql.rows import JOB_COLUMNS, job_of
from batchrouter.adapters.sql.schema import batches, jobs
from batchrouter.adapters.sql.verbs import param
from batchrouter.domain.job import Job

_JOBS = (
    sa.select(*JOB_COLUMNS)
    .join(batches, batches.c.seq == jobs.c.batch_seq)
    .where(batches.c.id == param("batch"))
    .order_by(jobs.c.seq)
)


def jobs_of(tx: sa.Connection, batch_id: str) -> list[Job]:
    """Every job of the batch, oldest first."""
    return [job_of(batch_id, row) for row in tx.execute(_JOBS, {"batch": batch_id})]
