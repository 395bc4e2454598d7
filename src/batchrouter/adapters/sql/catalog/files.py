"""Files: rows, lists, and the parts of which a batch's own files are made."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from batchrouter.adapters.sql.catalog.quotas import require_room_for_file
from batchrouter.adapters.sql.rows import FILE_COLUMNS, Row, file_of, file_values, seqs_of
from batchrouter.adapters.sql.schema import batches, files, ranges
from batchrouter.adapters.sql.segments import segments_of
from batchrouter.adapters.sql.verbs import Verbs, param
from batchrouter.domain.file import File, FileRole, RangeSpan, SegmentRef
from batchrouter.ports.catalog import Page

PAGE_MAX = 1_000
"""Rows of one read: some milliseconds of the reader."""

_now, _tenant, _id = param("now"), param("tenant"), param("id")
_is_there = files.c.deleted_ms.is_(None) & (files.c.expires_ms.is_(None) | (files.c.expires_ms > _now))

FILE = sa.select(*FILE_COLUMNS).where(files.c.id == _id, files.c.tenant_id == _tenant, _is_there)
"""Of a tenant, by id, if it is there at `now`."""

_SEQ = sa.select(files.c.seq).where(files.c.id == _id, files.c.tenant_id == _tenant)
_LIST = sa.select(*FILE_COLUMNS).where(files.c.tenant_id == _tenant, _is_there).limit(param("limit"))
_OLDEST_FIRST = _LIST.where(files.c.seq > param("after")).order_by(files.c.seq)
_NEWEST_FIRST = _LIST.where(files.c.seq < param("after")).order_by(files.c.seq.desc())
_of_purpose = files.c.purpose == param("purpose")
_LISTS = {  # (descending, with a purpose)
    (False, False): _OLDEST_FIRST,
    (False, True): _OLDEST_FIRST.where(_of_purpose),
    (True, False): _NEWEST_FIRST,
    (True, True): _NEWEST_FIRST.where(_of_purpose),
}
_AFTER_ALL = 2**62

_DELETE = files.update().where(files.c.id == param("file"), files.c.tenant_id == _tenant, _is_there)

_SPANS = (
    sa.select(
        ranges.c.range_no,
        ranges.c.first_line,
        ranges.c.lines,
        ranges.c.output_bytes,
        ranges.c.error_bytes,
        ranges.c.output_run_key,
        ranges.c.error_run_key,
        ranges.c.output_run_at,
        ranges.c.error_run_at,
        ranges.c.segment_seqs,
    )
    .join(batches, batches.c.seq == ranges.c.batch_seq)
    .where(batches.c.id == param("batch"), ranges.c.range_no > param("after"))
    .order_by(ranges.c.range_no)
    .limit(param("limit"))
)


class Files(Verbs):
    def add_file(self, file: File) -> File:
        with self._db.write() as tx:
            require_room_for_file(tx, file)
            return insert_file(tx, file)

    def file(self, tenant_id: str, file_id: str, now_ms: int) -> File | None:
        with self._db.read() as tx:
            row = tx.execute(FILE, {"id": file_id, "tenant": tenant_id, "now": now_ms}).first()
            return None if row is None else file_of(row)

    def files(
        self, tenant_id: str, *, after: str | None, limit: int, descending: bool, purpose: str | None, now_ms: int
    ) -> Page[File] | None:
        """A longer list is read in several transactions: what comes or goes meanwhile may show in it or not. The
        reader's thread is still held for the whole list; ask for `PAGE_MAX` at a time to let others in between."""
        seq = _AFTER_ALL if descending else -1
        if after is not None:
            with self._db.read() as tx:
                found = tx.execute(_SEQ, {"id": after, "tenant": tenant_id}).scalar()
            if found is None:
                return None
            seq = found
        select = _LISTS[descending, purpose is not None]
        values = {"tenant": tenant_id, "now": now_ms} | ({} if purpose is None else {"purpose": purpose})
        rows: list[Row] = []
        while (missing := limit + 1 - len(rows)) > 0:
            size = min(missing, PAGE_MAX)
            with self._db.read() as tx:
                page = tx.execute(select, values | {"after": seq, "limit": size}).all()
            rows += page
            if len(page) < size:
                break
            seq = page[-1].seq
        return Page(tuple(map(file_of, rows[:limit])), len(rows) > limit)

    def delete_file(self, tenant_id: str, file_id: str, now_ms: int) -> bool:
        """Marks the row; the next sweep looks after its bytes."""
        with self._db.write() as tx:
            values = {"file": file_id, "tenant": tenant_id, "now": now_ms}
            return tx.execute(_DELETE.values(deleted_ms=now_ms), values).rowcount > 0

    def manifest(self, file: File, after: int, limit: int) -> list[RangeSpan]:
        """A range may be folded, and its segments' inline bytes dropped, between this and `segments`: a reader that
        misses a segment asks for the range again, and finds its run."""
        if file.batch_id is None:
            return []
        with self._db.read() as tx:
            rows = tx.execute(_SPANS, {"batch": file.batch_id, "after": after, "limit": limit}).all()
        return [_span_of(row, file.role) for row in rows]

    def segments(self, batch_id: str, seqs: Sequence[int]) -> list[SegmentRef]:
        with self._db.read() as tx:
            return segments_of(tx, batch_id, seqs)


def insert_file(tx: sa.Connection, file: File) -> File:
    """As it now reads, with its `seq`."""
    seq = tx.execute(files.insert().returning(files.c.seq), file_values(file)).scalar_one()
    return File(**file_values(file), seq=seq)


def _span_of(row: Row, role: FileRole) -> RangeSpan:
    range_no, first_line, lines, output_bytes, error_bytes, output_key, error_key, output_at, error_at, seqs = row
    output = role is FileRole.OUTPUT
    return RangeSpan(
        range_no=range_no,
        first_line=first_line,
        lines=lines,
        length=output_bytes if output else error_bytes,
        run_key=output_key if output else error_key,
        run_at=output_at if output else error_at,
        segment_seqs=seqs_of(seqs),
    )
