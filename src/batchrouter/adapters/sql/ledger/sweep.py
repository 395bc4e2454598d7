"""Retention: what is past its time, which bytes nobody needs, and when they may be deleted.

Bytes go in two steps, so that a running download is not cut: when the last row that needs them goes they become
garbage, and after the linger time the caller deletes them. A batch's ranges and segments, which a download reads page
by page, stay for the same time. One sweep does a bounded part; what it leaves is found by the next.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from batchrouter.adapters.sql.catalog.batches import KEY_HOLDS_MS
from batchrouter.adapters.sql.catalog.uploads import end_upload
from batchrouter.adapters.sql.database import upsert
from batchrouter.adapters.sql.garbage import BLOB_COLUMNS, note_garbage, note_results
from batchrouter.adapters.sql.rows import Row
from batchrouter.adapters.sql.schema import (
    batches,
    files,
    garbage,
    idempotency,
    jobs,
    ranges,
    samples,
    segments,
    shards,
    turns,
    uploads,
)
from batchrouter.adapters.sql.verbs import Verbs, chunks, many, param
from batchrouter.domain.file import FileRole
from batchrouter.domain.lifecycle import UploadEvent, UploadState, upload_step

KEYS_MAX = 1_000
_FILES_MAX = 1_000
_UPLOADS_MAX = 100
_BATCHES_MAX = 10  # of 100 ranges each as a rule; each may hold 10,000

_now = param("now")
_alive = files.c.deleted_ms.is_(None)

_UPLOADS_PAST = (
    sa.select(uploads.c.id)
    .where(uploads.c.state == UploadState.PENDING, uploads.c.expires_ms <= _now)
    .limit(_UPLOADS_MAX)
    .with_for_update(skip_locked=True)  # one that is being completed may be so after all
)
_EXPIRE_FILES = (
    files.update().where(_alive, files.c.expires_ms.is_not(None), files.c.expires_ms <= _now).values(deleted_ms=_now)
)

_reads_it = (
    sa.select(batches.c.seq)
    .where(batches.c.live == sa.true(), batches.c.input_blob_key == files.c.blob_key)
    .correlate(files)
    .exists()
)
# Of whom a batch keeps answers: these until all are copied, and the input until it is known which.
_later, _source = batches.alias("later"), batches.alias("source")
_keeps = (_later.c.live == sa.true()) & (
    (_later.c.planned == sa.false())
    | (_later.c.copying > sa.literal_column("0"))
    | (_later.c.followers > sa.literal_column("0"))
)
_kept_of = (
    sa.select(_later.c.seq)
    .where(_keeps, (_later.c.retry_of == files.c.batch_id) | (_later.c.resume_from == files.c.batch_id))
    .correlate(files)
    .exists()
)
_matched_with = (
    sa.select(_later.c.seq)
    .join(_source, _source.c.id == _later.c.resume_from)
    .where(_keeps, _source.c.input_blob_key == files.c.blob_key)
    .correlate(files)
    .exists()
)
_TO_RELEASE = (
    sa.select(files.c.seq, files.c.role, files.c.blob_key, files.c.index_key, files.c.batch_id)
    .where(files.c.deleted_ms.is_not(None), files.c.released == sa.false(), ~_reads_it, ~_kept_of, ~_matched_with)
    .limit(_FILES_MAX)
)
_RELEASE = files.update().where(files.c.seq == param("file")).values(released=True)

_readable = (
    sa.select(files.c.seq)
    .where(files.c.id.in_((batches.c.output_file_id, batches.c.error_file_id)), _alive)
    .correlate(batches)
    .exists()
)
_UNREADABLE = sa.select(batches.c.seq).where(
    batches.c.id == param("batch"),
    batches.c.live == sa.false(),
    batches.c.purge_ms.is_(None),
    ~_readable,
)
_PURGE = batches.update().where(batches.c.seq == param("batch"))
# What a provider still does for a batch is not forgotten before it is ended there.
_has_jobs = (
    sa.select(jobs.c.seq).where(jobs.c.batch_seq == batches.c.seq, jobs.c.open == sa.true()).correlate(batches).exists()
)
_TO_PURGE = (
    sa.select(batches.c.seq)
    .where(
        batches.c.purge_ms.is_not(None),
        batches.c.purged == sa.false(),
        batches.c.purge_ms <= param("until"),
        ~_has_jobs,
    )
    .limit(_BATCHES_MAX)
)
_DROP_ROWS = [
    table.delete().where(table.c.batch_seq == param("batch")) for table in (segments, samples, ranges, shards, jobs)
]
_DROP_KEYS = idempotency.delete().where(idempotency.c.at_ms <= param("until"))

_RIPE = (
    sa.select(garbage.c.key)
    .where(garbage.c.since_ms <= param("until"))
    .order_by(garbage.c.since_ms, garbage.c.key)
    .limit(KEYS_MAX)
)
_FORGET = garbage.delete().where(garbage.c.key == param("blob"))

_keys = many("keys")
_KNOWN = [
    sa.select(column).where(column.in_(_keys), *conditions)
    for column, conditions in (*BLOB_COLUMNS, (garbage.c.key, ()))
]


_turn = upsert(turns)
_TAKE_TURN = _turn.on_conflict_do_update(
    index_elements=[turns.c.name],
    set_={"until_ms": _turn.excluded.until_ms},
    where=turns.c.until_ms <= param("now"),
).returning(turns.c.name)


class Sweeping(Verbs):
    def turn(self, name: str, now_ms: int, for_ms: int) -> bool:
        with self._db.write() as tx:
            taken = tx.execute(_TAKE_TURN, {"name": name, "until_ms": now_ms + for_ms, "now": now_ms}).first()
        return taken is not None

    def sweep(self, now_ms: int, linger_ms: int) -> list[str]:
        """Call it again at once as long as it returns 1,000 keys, after `forget`."""
        until = now_ms - linger_ms
        with self._db.write() as tx:
            _end_uploads(tx, now_ms)
            tx.execute(_EXPIRE_FILES, {"now": now_ms})
            _release_files(tx, now_ms)
            _drop_rows(tx, until)
            tx.execute(_DROP_KEYS, {"until": now_ms - KEY_HOLDS_MS})
            return list(tx.execute(_RIPE, {"until": until}).scalars())

    def forget(self, keys: Sequence[str]) -> None:
        if keys:
            with self._db.write() as tx:
                tx.execute(_FORGET, [{"blob": key} for key in keys])

    def known(self, keys: Sequence[str]) -> frozenset[str]:
        found: set[str] = set()
        for part in chunks(keys):
            with self._db.read() as tx:
                for select in _KNOWN:
                    found.update(tx.execute(select, {"keys": part}).scalars())
        return frozenset(found)


def _end_uploads(tx: sa.Connection, now_ms: int) -> None:
    expired = upload_step(UploadState.PENDING, UploadEvent.EXPIRE)
    for upload_id in tx.execute(_UPLOADS_PAST, {"now": now_ms}).scalars().all():
        end_upload(tx, upload_id, expired, None, now_ms)


def _release_files(tx: sa.Connection, now_ms: int) -> None:
    """An input that a batch still reads is left for a later sweep; of a batch's own two files, the one that goes last
    takes the bytes along."""
    rows: Sequence[Row] = tx.execute(_TO_RELEASE).all()
    if not rows:
        return
    note_garbage(tx, (key for row in rows for key in (row.blob_key, row.index_key)), now_ms)
    for batch_id in {row.batch_id for row in rows if row.role != FileRole.UPLOADED}:
        seq = tx.execute(_UNREADABLE, {"batch": batch_id}).scalar()
        if seq is not None:
            note_results(tx, seq, now_ms)
            tx.execute(_PURGE, {"batch": seq, "purge_ms": now_ms})
    tx.execute(_RELEASE, [{"file": row.seq} for row in rows])


def _drop_rows(tx: sa.Connection, until: int) -> None:
    for seq in tx.execute(_TO_PURGE, {"until": until}).scalars().all():
        tx.execute(_PURGE, {"batch": seq, "purged": True})  # first: no late settle is half way through these rows
        for drop in _DROP_ROWS:
            tx.execute(drop, {"batch": seq})
