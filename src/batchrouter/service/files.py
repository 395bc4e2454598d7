"""Files: taking them in, finding them, letting them go."""

from __future__ import annotations

from batchrouter.domain.file import File
from batchrouter.errors import ApiError, BlobFull, QuotaExceeded
from batchrouter.ports.blobs import Blobs
from batchrouter.ports.calls import Calls
from batchrouter.ports.catalog import Catalog, Page
from batchrouter.ports.clock import Chance, Clock
from batchrouter.service import asked
from batchrouter.service.caller import Caller
from batchrouter.service.content import Content
from batchrouter.service.filenames import safe_filename
from batchrouter.service.intake import Intake, ScratchMaker
from batchrouter.service.limits import ServiceLimits
from batchrouter.service.quotas import refusal

PURPOSES = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")
BATCH_PURPOSE = "batch"
LIST_MAX = 10_000
READ_ROWS = 1_000
"""Rows per read, so that a long list never holds up others who read."""
OUTPUT_ALIAS = ("batch-output-", ".jsonl")
"""FastRouter names a batch's output file by the batch's id."""


class Incoming:
    """One upload on its way in. Fields come in any order; `done` checks them all and makes the file.

    Until `done` returns nothing is visible; after any failure call `abort`.
    """

    def __init__(self, files: Files, caller: Caller) -> None:
        self._files = files
        self._caller = caller
        self._file_id = f"file-{files.chance.token(24)}"
        self._intake: Intake | None = None
        self._filename = ""
        self._purpose: str | None = None
        self._expiry: dict[str, object] = {}

    def purpose(self, value: str) -> None:
        self._purpose = asked.one_of(value, PURPOSES, "purpose")
        if self._purpose != BATCH_PURPOSE and self._intake is not None:
            self._intake.drop_index()

    def expiry_anchor(self, value: str) -> None:
        self._expiry["anchor"] = value

    def expiry_seconds(self, value: str) -> None:
        self._expiry["seconds"] = asked.digits(value, "expires_after.seconds")

    def begin(self, filename: str | None) -> None:
        """The bytes begin. Raises when they began before: two files in one upload would lose one of them."""
        if self._intake is not None:
            raise ApiError(400, "Only one file may be uploaded at a time, but 'file' was sent twice.", param="file")
        self._filename = safe_filename(filename)
        files = self._files
        self._intake = Intake(files.blobs, f"files/{self._file_id}", files.limits.max_line_bytes, files.scratch)
        if self._purpose not in (None, BATCH_PURPOSE):
            self._intake.drop_index()

    async def write(self, data: bytes) -> None:
        assert self._intake is not None
        limit = self._files.max_bytes(self._purpose)
        if self._intake.bytes + len(data) > limit:
            raise asked.too_large("The file", limit, "file")
        try:
            await self._intake.write(data)
        except BlobFull as error:
            raise disk_full() from error

    async def done(self) -> File:
        """Check what was sent and make the file, durable when this returns."""
        if self._intake is None:
            raise asked.missing("file")
        files = self._files
        purpose = self._purpose or BATCH_PURPOSE
        limit = files.max_bytes(purpose)
        if self._intake.bytes > limit:
            raise asked.too_large("The file", limit, "file")
        body = {"expires_after": self._expiry} if self._expiry else {}
        expires_s = asked.expiry(body, "expires_after", files.limits.expiry_min_s, files.limits.expiry_max_s)
        return await files.keep(
            self._intake,
            file_id=self._file_id,
            tenant_id=self._caller.tenant_id,
            purpose=purpose,
            filename=self._filename,
            expires_s=expires_s,
        )

    async def abort(self) -> None:
        if self._intake is not None:
            await self._intake.abort()


class Files:
    def __init__(
        self,
        catalog: Catalog,
        calls: Calls,
        blobs: Blobs,
        clock: Clock,
        chance: Chance,
        limits: ServiceLimits,
        scratch: ScratchMaker,
    ) -> None:
        self.catalog = catalog
        self.calls = calls
        self.blobs = blobs
        self.clock = clock
        self.chance = chance
        self.limits = limits
        self.scratch = scratch

    def incoming(self, caller: Caller) -> Incoming:
        return Incoming(self, caller)

    async def get(self, caller: Caller, file_id: str) -> File:
        found = await self._find(caller, file_id)
        if found is None:
            raise no_such_file(file_id)
        return found

    async def page(
        self, caller: Caller, *, after: str | None, limit: int, descending: bool, purpose: str | None
    ) -> Page[File]:
        if after is not None and not asked.is_id(after):
            raise unknown_after("file", after)
        rows: list[File] = []
        now_ms = self.clock.unix_ms()
        while True:
            page = await self.calls.read(
                self.catalog.files,
                caller.tenant_id,
                after=after,
                limit=min(limit - len(rows), READ_ROWS),
                descending=descending,
                purpose=purpose,
                now_ms=now_ms,
            )
            if page is None:
                if rows:  # the last row read was removed for good between two reads
                    return Page(tuple(rows), False)
                raise unknown_after("file", after)
            rows += page.rows
            if not page.more or not page.rows or len(rows) >= limit:
                return Page(tuple(rows), page.more)
            after = rows[-1].id

    async def delete(self, caller: Caller, file_id: str) -> None:
        """The row goes at once; the bytes stay while a batch or a download still reads them."""
        now_ms = self.clock.unix_ms()
        if not asked.is_id(file_id) or not await self.calls.write(
            self.catalog.delete_file, caller.tenant_id, file_id, now_ms
        ):
            raise no_such_file(file_id)

    async def content(self, caller: Caller, file_id: str) -> Content:
        return Content(await self.get(caller, file_id), self.catalog, self.calls, self.blobs)

    def max_bytes(self, purpose: str | None) -> int:
        """None: the purpose is not known yet."""
        if purpose == BATCH_PURPOSE:
            return min(self.limits.batch_max_bytes, self.limits.max_upload_bytes)
        return self.limits.max_upload_bytes

    def check_jsonl(self, looks_like_jsonl: bool) -> None:
        if not looks_like_jsonl:
            raise ApiError(400, "Invalid file format for Batch API. Must be .jsonl")

    async def keep(
        self, intake: Intake, *, file_id: str, tenant_id: str, purpose: str, filename: str, expires_s: int | None
    ) -> File:
        """End an intake whose bytes are all in: the format check, the blobs, then the row."""
        file = await self.settle(
            intake, file_id=file_id, tenant_id=tenant_id, purpose=purpose, filename=filename, expires_s=expires_s
        )
        try:
            return await self.calls.write(self.catalog.add_file, file)
        except QuotaExceeded as error:
            await self.drop(file)
            raise refusal(error.excess) from error

    async def drop(self, file: File) -> None:
        """Delete the bytes of a file that did not become one."""
        await self.blobs.delete([key for key in (file.blob_key, file.index_key) if key is not None])

    async def settle(
        self, intake: Intake, *, file_id: str, tenant_id: str, purpose: str, filename: str, expires_s: int | None
    ) -> File:
        """As `keep`, but the row is for the caller to insert."""
        try:
            if purpose != BATCH_PURPOSE:
                intake.drop_index()
            totals = await intake.finish()
            if totals is not None:
                self.check_jsonl(totals.first_line_is_object)
            await intake.commit()
        except BlobFull as error:
            raise disk_full() from error
        now_ms = self.clock.unix_ms()
        if expires_s is None and purpose == BATCH_PURPOSE:
            expires_s = self.limits.batch_file_lifetime_s
        return File(
            id=file_id,
            tenant_id=tenant_id,
            purpose=purpose,
            filename=filename,
            bytes=intake.bytes,
            lines=None if totals is None else totals.lines,
            created_ms=now_ms,
            expires_ms=None if expires_s is None else now_ms + expires_s * 1000,
            blob_key=intake.key,
            index_key=intake.index_key,
        )

    async def _find(self, caller: Caller, file_id: str) -> File | None:
        if not asked.is_id(file_id):
            return None
        now_ms = self.clock.unix_ms()
        found = await self.calls.read(self.catalog.file, caller.tenant_id, file_id, now_ms)
        head, tail = OUTPUT_ALIAS
        if found is None and file_id.startswith(head) and file_id.endswith(tail):
            batch_id = file_id.removeprefix(head).removesuffix(tail)
            batch = await self.calls.read(self.catalog.batch, caller.tenant_id, batch_id)
            if batch is not None and batch.output_file_id is not None:
                return await self.calls.read(self.catalog.file, caller.tenant_id, batch.output_file_id, now_ms)
        return found


def no_such_file(file_id: str) -> ApiError:
    return ApiError(404, f"No such File object: {file_id}", param="id")


def unknown_after(what: str, after: str | None) -> ApiError:
    return ApiError(400, f"No {what} found with id '{after}' to list after.", param="after", code="invalid_value")


def disk_full() -> ApiError:
    """507 and no retry: sending the same again would only fail again."""
    return ApiError(
        507,
        "The server has no room left for this. Nothing of it was kept. Free space in its storage, then try again.",
        type="server_error",
        code="insufficient_storage",
        headers={"x-should-retry": "false"},
    )
