"""Files, uploads in parts, and blobs that nobody needs any more."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import BigInteger, Column, Index, String, Table

from batchrouter.adapters.sql.schema.base import Serial, flag, metadata, partial

# A deleted file keeps its row, because it still holds its place in the paging of others. `released`: its bytes have
# been noted as garbage, or are looked after by its batch's other file.
files = Table(
    "files",
    metadata,
    Column("seq", Serial, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("tenant_id", String, nullable=False),
    Column("role", String, nullable=False),
    Column("purpose", String, nullable=False),
    Column("filename", String, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("lines", BigInteger),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger),
    Column("blob_key", String),
    Column("index_key", String),
    Column("batch_id", String),
    Column("deleted_ms", BigInteger),
    flag("released", default=False),
)
_alive = files.c.deleted_ms.is_(None)
Index("files_of_tenant", files.c.tenant_id, files.c.seq, **partial(_alive))
Index("files_of_purpose", files.c.tenant_id, files.c.purpose, files.c.seq, **partial(_alive))
Index("files_expiring", files.c.expires_ms, **partial(_alive & files.c.expires_ms.is_not(None)))
Index(
    "files_to_release",
    files.c.deleted_ms,
    **partial(files.c.deleted_ms.is_not(None) & (files.c.released == sa.false())),
)
Index("files_by_blob", files.c.blob_key, **partial(files.c.released == sa.false()))
Index("files_by_index", files.c.index_key, **partial(files.c.released == sa.false()))

uploads = Table(
    "uploads",
    metadata,
    Column("id", String, primary_key=True),
    Column("tenant_id", String, nullable=False),
    Column("state", String, nullable=False),
    Column("filename", String, nullable=False),
    Column("purpose", String, nullable=False),
    Column("mime_type", String, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("file_expires_after_s", BigInteger),
    Column("file_id", String),
)
Index("uploads_expiring", uploads.c.state, uploads.c.expires_ms)

# Rows of ended uploads are gone: their blobs are garbage.
upload_parts = Table(
    "upload_parts",
    metadata,
    Column("seq", Serial, primary_key=True),
    Column("id", String, nullable=False, unique=True),
    Column("upload_id", String, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("blob_key", String, nullable=False, index=True),
    Column("created_ms", BigInteger, nullable=False),
)
Index("upload_parts_of_upload", upload_parts.c.upload_id, upload_parts.c.seq)

# What one of several workers does for all, and until when nobody else need look.
turns = Table(
    "turns", metadata, Column("name", String, primary_key=True), Column("until_ms", BigInteger, nullable=False)
)

garbage = Table(
    "garbage",
    metadata,
    Column("key", String, primary_key=True),
    Column("since_ms", BigInteger, nullable=False, index=True),
)
