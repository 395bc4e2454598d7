"""Uploads: a file that arrives in parts, in parallel and in any order, and becomes a file when it is completed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from batchrouter.domain.file import File, Upload, UploadPart
from batchrouter.domain.lifecycle import UploadEvent, UploadState
from batchrouter.errors import ApiError, BlobFull, QuotaExceeded
from batchrouter.ports.blobs import Blobs, BlobWriter
from batchrouter.ports.calls import Calls
from batchrouter.ports.catalog import Catalog
from batchrouter.ports.clock import Chance, Clock
from batchrouter.service import asked
from batchrouter.service.caller import Caller
from batchrouter.service.filenames import safe_filename
from batchrouter.service.files import BATCH_PURPOSE, PURPOSES, Files, disk_full
from batchrouter.service.intake import Intake
from batchrouter.service.limits import ServiceLimits
from batchrouter.service.quotas import refusal


class IncomingPart:
    """One part on its way in. After any failure call `abort`."""

    def __init__(self, uploads: Uploads, caller: Caller, upload: Upload) -> None:
        self._uploads = uploads
        self._caller = caller
        self._upload = upload
        self._id = f"part_{uploads.chance.hex(32)}"
        self._key = f"uploads/{upload.id}/{self._id}"
        self._writer: BlobWriter | None = None
        self._bytes = 0

    async def begin(self) -> None:
        if self._writer is not None:
            raise ApiError(400, "Only one part may be sent at a time, but 'data' was sent twice.", param="data")
        self._writer = await self._uploads.blobs.create(self._key)

    async def write(self, data: bytes) -> None:
        self._bytes += len(data)
        limit = self._uploads.limits.upload_part_bytes
        if self._bytes > limit:
            raise asked.too_large("The part", limit, "data")
        assert self._writer is not None
        try:
            await self._writer.write(data)
        except BlobFull as error:
            raise disk_full() from error

    async def done(self) -> UploadPart:
        """The part, durable when this returns, if the upload still takes parts."""
        if self._writer is None:
            raise asked.missing("data")
        uploads = self._uploads
        try:
            await self._writer.commit()
        except BlobFull as error:
            raise disk_full() from error
        now_ms = uploads.clock.unix_ms()
        part = UploadPart(
            id=self._id, upload_id=self._upload.id, bytes=self._bytes, blob_key=self._key, created_ms=now_ms
        )
        try:
            upload = await uploads.calls.write(uploads.catalog.add_part, self._caller.tenant_id, part, now_ms)
        except QuotaExceeded as error:
            await uploads.blobs.delete([self._key])
            raise refusal(error.excess) from error
        if upload is None or upload.state is not UploadState.PENDING:
            await uploads.blobs.delete([self._key])
            raise no_such_upload(self._upload.id) if upload is None else not_pending(upload)
        return part

    async def abort(self) -> None:
        if self._writer is not None:
            await self._writer.abort()


class Uploads:
    def __init__(
        self,
        files: Files,
        catalog: Catalog,
        calls: Calls,
        blobs: Blobs,
        clock: Clock,
        chance: Chance,
        limits: ServiceLimits,
    ) -> None:
        self._files = files
        self.catalog = catalog
        self.calls = calls
        self.blobs = blobs
        self.clock = clock
        self.chance = chance
        self.limits = limits

    async def create(self, caller: Caller, body: asked.Body) -> Upload:
        limits = self.limits
        filename = asked.text(body, "filename")
        purpose = asked.one_of(asked.text(body, "purpose"), PURPOSES, "purpose")
        size = asked.whole_number(body, "bytes", 1, 2**53)
        mime_type = asked.text(body, "mime_type")
        expires_s = asked.expiry(body, "expires_after", limits.expiry_min_s, limits.expiry_max_s)
        largest = limits.upload_total_bytes
        if purpose == BATCH_PURPOSE:
            largest = min(largest, limits.batch_max_bytes)
        if size > largest:
            raise asked.too_large("The upload", largest, "bytes")
        now_ms = self.clock.unix_ms()
        upload = Upload(
            id=f"upload_{self.chance.hex(32)}",
            tenant_id=caller.tenant_id,
            state=UploadState.PENDING,
            filename=safe_filename(filename),
            purpose=purpose,
            mime_type=mime_type,
            bytes=size,
            created_ms=now_ms,
            expires_ms=now_ms + limits.upload_lifetime_s * 1000,
            file_expires_after_s=expires_s,
        )
        await self.calls.write(self.catalog.add_upload, upload)
        return upload

    async def incoming(self, caller: Caller, upload_id: str) -> IncomingPart:
        upload = await self._pending(caller, upload_id)
        held = await self.calls.read(self.catalog.parts, upload_id)
        if len(held) >= self.limits.upload_parts_max:
            raise ApiError(400, f"The upload has {len(held)} parts already, which is the maximum.")
        return IncomingPart(self, caller, upload)

    async def complete(
        self, caller: Caller, upload_id: str, body: asked.Body, *, resent: bool
    ) -> tuple[Upload, File | None]:
        """Put the parts together, in the order asked, index them in the same pass, and make the file.

        A repeat by a client that did not hear the answer (`resent`) gets the file that was made."""
        part_ids = _part_ids(body, self.limits.upload_parts_max)
        md5 = asked.text_or_none(body, "md5")
        upload = await self._get(caller, upload_id)
        if resent and upload.state is UploadState.COMPLETED and upload.file_id is not None:
            now_ms = self.clock.unix_ms()
            return upload, await self.calls.read(self.catalog.file, caller.tenant_id, upload.file_id, now_ms)
        if upload.state is not UploadState.PENDING:
            raise not_pending(upload)
        parts = _in_order(part_ids, await self.calls.read(self.catalog.parts, upload_id))
        size = sum(part.bytes for part in parts)
        if size != upload.bytes:
            raise ApiError(
                400, f"The parts have {size} bytes together, but the upload was created with {upload.bytes} bytes."
            )
        return await self._join(caller, upload, parts, md5)

    async def cancel(self, caller: Caller, upload_id: str) -> Upload:
        """Cancelling again is harmless."""
        if not asked.is_id(upload_id):
            raise no_such_upload(upload_id)
        ended = await self.calls.write(
            self.catalog.end_upload, caller.tenant_id, upload_id, UploadEvent.CANCEL, None, self.clock.unix_ms()
        )
        if ended is None:
            raise no_such_upload(upload_id)
        if ended.upload.state is not UploadState.CANCELLED:
            raise not_pending(ended.upload)
        return ended.upload

    async def _join(
        self, caller: Caller, upload: Upload, parts: Sequence[UploadPart], md5: str | None
    ) -> tuple[Upload, File | None]:
        file_id = f"file-{self.chance.token(24)}"
        intake = Intake(self.blobs, f"files/{file_id}", self.limits.max_line_bytes, self._files.scratch)
        try:
            if upload.purpose != BATCH_PURPOSE:
                intake.drop_index()
            digest = hashlib.md5(usedforsecurity=False)
            for part in parts:
                async for data in self.blobs.stream(part.blob_key, 0, part.bytes):
                    digest.update(data)
                    await intake.write(data)
            if md5 is not None and md5.lower() != digest.hexdigest():
                raise ApiError(
                    400, f"The md5 of the parts is {digest.hexdigest()}, which is not the md5 sent.", param="md5"
                )
            file = await self._files.settle(
                intake,
                file_id=file_id,
                tenant_id=caller.tenant_id,
                purpose=upload.purpose,
                filename=upload.filename,
                expires_s=upload.file_expires_after_s,
            )
        except BlobFull as error:
            await intake.abort()
            raise disk_full() from error
        except BaseException:
            await intake.abort()
            raise
        try:
            ended = await self.calls.write(
                self.catalog.end_upload, caller.tenant_id, upload.id, UploadEvent.COMPLETE, file, file.created_ms
            )
        except QuotaExceeded as error:
            await self._files.drop(file)
            raise refusal(error.excess) from error
        if ended is not None and ended.file is not None:
            return ended.upload, ended.file
        # Somebody else completed or cancelled it meanwhile: these bytes are nobody's.
        await self._files.drop(file)
        raise no_such_upload(upload.id) if ended is None else not_pending(ended.upload)

    async def _get(self, caller: Caller, upload_id: str) -> Upload:
        if not asked.is_id(upload_id):
            raise no_such_upload(upload_id)
        upload = await self.calls.read(self.catalog.upload, caller.tenant_id, upload_id, self.clock.unix_ms())
        if upload is None:
            raise no_such_upload(upload_id)
        return upload

    async def _pending(self, caller: Caller, upload_id: str) -> Upload:
        upload = await self._get(caller, upload_id)
        if upload.state is not UploadState.PENDING:
            raise not_pending(upload)
        return upload


def no_such_upload(upload_id: str) -> ApiError:
    return ApiError(404, f"No such Upload object: {upload_id}", param="id")


def not_pending(upload: Upload) -> ApiError:
    return ApiError(400, f"The upload {upload.id} is {upload.state}; only a pending upload can be changed.")


def _part_ids(body: asked.Body, most: int) -> list[str]:
    if "part_ids" not in body:
        raise asked.missing("part_ids")
    value = body["part_ids"]
    if not isinstance(value, list):
        raise asked.wrong_type("part_ids", "an array", value)
    if not value or len(value) > most:
        raise ApiError(
            400,
            f"'part_ids' must name 1 to {most} parts, but it names {len(value)}.",
            param="part_ids",
            code="invalid_value",
        )
    for place, item in enumerate(value):
        if not isinstance(item, str):
            raise asked.wrong_type(f"part_ids[{place}]", "a string", item)
    if len(set(value)) != len(value):
        raise ApiError(400, "'part_ids' names a part twice.", param="part_ids", code="invalid_value")
    return value


def _in_order(part_ids: Sequence[str], parts: Sequence[UploadPart]) -> list[UploadPart]:
    """Parts that were sent and are not named stay out: a client may have sent one twice."""
    by_id = {part.id: part for part in parts}
    for part_id in part_ids:
        if part_id not in by_id:
            raise ApiError(
                400, f"No part with id '{part_id}' belongs to this upload.", param="part_ids", code="invalid_value"
            )
    return [by_id[part_id] for part_id in part_ids]
