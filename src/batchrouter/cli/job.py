"""One session of a run: begin its batch or find it, watch it, and put the output in place or say how to go on.

The batch in the folder is the truth of what is done; the order of the steps is such that a death between any two of
them is mended by the next session.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import msgspec

from batchrouter.bootstrap.embedded import Embedded
from batchrouter.bootstrap.folders import scratch_in
from batchrouter.cli.delivery import pour, write_answers
from batchrouter.cli.failures import FailureDigest
from batchrouter.cli.line_file import LocalIndex, index_into
from batchrouter.cli.progress import Progress, progress_on_stderr
from batchrouter.cli.run_files import PartWriter, Placed, RunFiles, sync_folder
from batchrouter.cli.sameness import difference, fingerprint
from batchrouter.cli.signals import Stop
from batchrouter.cli.source import Source
from batchrouter.cli.summary import Summary
from batchrouter.cli.watch import End, Watched, watch
from batchrouter.cli.words import INTERRUPTED, NEEDS_PERSON, OK, SOME_FAILED, lines, say
from batchrouter.config import Config
from batchrouter.domain.batch import Batch
from batchrouter.domain.cost import NANO
from batchrouter.domain.lifecycle import BATCH_FINAL, BatchState
from batchrouter.domain.shard import LaneKey, LaneMode
from batchrouter.domain.tenant import DEFAULT_TENANT, Role
from batchrouter.domain.tokens import Tokens
from batchrouter.errors import ApiError, InputError
from batchrouter.service.batches import Repeat
from batchrouter.service.caller import Caller
from batchrouter.tables.answers import Price

GRACE_S = 5.0
"""How long calls may still run after Ctrl-C. What is cut off then is asked, and paid for, again."""
WINDOW = "3650d"
"""A run has no deadline: whoever started it decides when it has lasted long enough."""
ERRORS_SHOWN = 20
ME = Caller(DEFAULT_TENANT, "run", Role.USER)


class _NothingSent(Exception):
    """Interrupted before there was a batch."""


class Job:
    """Owns `embedded`, which is not started yet, and stops it."""

    def __init__(
        self, embedded: Embedded, files: RunFiles, source: Source, *, endpoint: str | None, wait: bool
    ) -> None:
        self._embedded = embedded
        self._files = files
        self._source = source
        self._endpoint = endpoint
        self._wait = wait
        self._stop = Stop()
        self._stop.hurry = embedded.hurry
        self._begun_s = embedded.clock.mono_s()
        self._continued = False
        self._settled_before = 0
        # Until it is known that there is no batch, there may be one.
        self._keep_state = True

    async def run(self) -> Summary:
        self._stop.listen()
        embedded = self._embedded
        try:
            await embedded.forget_waits()
            await embedded.start()
            batch_id = await self._batch()
            with progress_on_stderr(f"{Path(self._source.name).name} → {self._files.output.name}") as progress:
                watched = await watch(embedded, ME, batch_id, self._stop, progress, wait=self._wait)
                if watched.end is not End.FINAL:
                    await self._drain(progress, watched)
            batch = (await embedded.service.batches.get(ME, batch_id)).batch
            if watched.end is not End.FINAL:
                return self._unfinished(batch, watched)
            return await self._finished(batch)
        except _NothingSent:
            say("Interrupted before anything was sent; nothing is kept.")
            return self._summary(None, status="interrupted", exit_code=INTERRUPTED)
        finally:
            await embedded.stop(0.0)
            if not self._keep_state:
                self._files.clear()

    # --- beginning --------------------------------------------------------------------------------------------------

    async def _batch(self) -> str:
        """The id of the folder's batch, made if there is none."""
        known = await self._embedded.service.batches.page(ME, after=None, limit=1)
        if not known.rows:
            self._keep_state = False
            batch_id = await self._begin()
            self._keep_state = True
            return batch_id
        batch = known.rows[0].batch
        self._continued = True
        self._settled_before = batch.completed + batch.failed
        if batch.state not in BATCH_FINAL and batch.total:
            left = batch.total - self._settled_before
            say(f"Continuing from {self._files.state}: {lines(self._settled_before)} done, {lines(left)} left.")
        return batch.id

    async def _begin(self) -> str:
        embedded, files, source = self._embedded, self._files, self._source
        incoming = embedded.service.files.incoming(ME)
        incoming.purpose("batch")
        try:
            incoming.begin(f"{Path(source.name).stem}.jsonl")
            for data in source.chunks():
                await incoming.write(data)
                if self._stop.asked.is_set():
                    raise _NothingSent
            file = await incoming.done()
        except ApiError as error:
            raise InputError(f"{source.name}: {error.message} {source.hint}".rstrip()) from error
        finally:
            await incoming.abort()  # harmless when it is done
        for note in source.notes():
            say(note)
        index = PartWriter(files.index)
        async for data in embedded.index_of(file):
            index.write(data)
        index.close()
        index.path.replace(files.index)
        sync_folder(files.state)
        with files.index.open("rb") as opened:
            endpoint = self._endpoint or LocalIndex(opened).endpoint
        if endpoint is None:
            rows = "If its lines are rows, say what is asked of each, with --prompt."
            raise InputError(f"{source.name}: no line has a url. {rows}")
        body = {"input_file_id": file.id, "endpoint": endpoint, "completion_window": WINDOW}
        try:
            view = await embedded.service.batches.create(ME, body, msgspec.json.encode(body), Repeat())
        except ApiError as error:
            raise InputError(f"{source.name}: {error.message} {source.hint}".rstrip()) from error
        return view.batch.id

    # --- not finished -----------------------------------------------------------------------------------------------

    async def _drain(self, progress: Progress, watched: Watched) -> None:
        dispatcher = self._embedded.worker.dispatcher
        if watched.end is End.INTERRUPTED and dispatcher.in_flight:
            progress.note(
                f"Stopping: {dispatcher.in_flight} calls may end within {GRACE_S:.0f} s; Ctrl-C again ends them now."
            )
            progress.show(watched.figures)
        await dispatcher.drain(GRACE_S)

    def _unfinished(self, batch: Batch, watched: Watched) -> Summary:
        done = batch.completed + batch.failed
        say(
            f"{lines(done)} of {batch.total:,} are done and kept in {self._files.state}. "
            "The same command, run again, goes on with the rest."
        )
        if watched.end is End.INTERRUPTED:
            return self._summary(batch, status="interrupted", exit_code=INTERRUPTED)
        return self._summary(batch, status="needs_person", exit_code=NEEDS_PERSON, reasons=list(watched.reasons))

    # --- finished ---------------------------------------------------------------------------------------------------

    async def _finished(self, batch: Batch) -> Summary:
        if batch.state is BatchState.FAILED:
            self._keep_state = False  # it was refused before a line of it was sent
            raise InputError(_refusal(batch, self._source))
        files = self._files
        digest = FailureDigest(2 * self._embedded.config.batches.max_reply_bytes)
        parts: list[PartWriter] = []
        try:
            output, errors = await self._parts(batch, digest, parts)
            exit_code = OK if batch.completed == batch.total else SOME_FAILED
            summary = self._summary(batch, status=str(batch.state), exit_code=exit_code, digest=digest)
            if files.piped:
                await asyncio.to_thread(pour, output.path)
                files.place_errors(errors.path if errors is not None else None)
            else:
                with files.index.open("rb") as opened:
                    placed = Placed(fingerprint(LocalIndex(opened)), summary)
                files.place(output.path, errors.path if errors is not None else None, placed)
        finally:
            for part in parts:
                part.abandon()
        self._keep_state = False
        return summary

    async def _parts(
        self, batch: Batch, digest: FailureDigest, made: list[PartWriter]
    ) -> tuple[PartWriter, PartWriter | None]:
        """Output and errors, durable, beside their places; what is made stands in `made` too, whatever happens."""
        files, state = self._files, self._files.state
        output_id, errors_id = batch.output_file_id, batch.error_file_id
        place = state / "output" if files.piped else files.output
        if not files.whole:
            assert files.errors is not None
            made.append(await self._copy(output_id, place))
            if errors_id is not None:
                made.append(await self._copy(errors_id, files.errors, digest))
            return made[0], made[1] if errors_id is not None else None
        answered = await self._copy(output_id, state / "answered") if output_id is not None else None
        failed = (
            await self._copy(errors_id, files.errors or state / "failed", digest) if errors_id is not None else None
        )
        made += [part for part in (answered, failed) if part is not None]
        found = await asyncio.to_thread(changed, files, self._source, self._embedded.config)
        if found is not None:
            raise InputError(
                f"{self._source.name} was changed while it ran: {found}. Its answers are kept in {state}; put the old "
                "input back, and run the same command again"
            )
        price = await self._price(batch)
        output = PartWriter(place)
        made.append(output)
        await asyncio.to_thread(
            write_answers,
            self._source,
            files.form,
            None if answered is None else answered.path,
            None if failed is None else failed.path,
            price,
            output.file,
        )
        output.close()
        return output, failed if files.errors is not None else None

    async def _price(self, batch: Batch) -> Price | None:
        """Of an answer, where all lanes of the batch have one price."""
        shares = (await self._embedded.service.batches.get(ME, batch.id)).lanes or ()
        lanes = [LaneKey(share.provider, share.model, LaneMode(share.mode)) for share in shares]
        cards = await self._embedded.cards(lanes)
        card = cards[0] if cards else None
        if card is None or any(each is None or each.tiers != card.tiers for each in cards):
            return None
        return lambda read, cached, said: card.cost(Tokens(read, cached, said, 0)) / NANO

    async def _copy(self, file_id: str | None, path: Path, digest: FailureDigest | None = None) -> PartWriter:
        """The durable copy of a batch's file, beside its place. A batch makes no file without lines: it is empty."""
        part = PartWriter(path)
        try:
            if file_id is not None:
                content = await self._embedded.service.files.content(ME, file_id)
                async for data in content.stream(0, content.file.bytes):
                    part.write(data)
                    if digest is not None:
                        digest.feed(data)
            part.close()
        except BaseException:
            part.abandon()
            raise
        return part

    def _summary(
        self,
        batch: Batch | None,
        *,
        status: str,
        exit_code: int,
        digest: FailureDigest | None = None,
        reasons: list[str] | None = None,
    ) -> Summary:
        files, traffic = self._files, self._embedded.worker.traffic
        total, completed, failed = (batch.total, batch.completed, batch.failed) if batch else (0, 0, 0)
        final = batch is not None and batch.state in BATCH_FINAL
        wall_s = self._embedded.clock.mono_s() - self._begun_s
        settled = completed + failed - self._settled_before
        unsettled = total - completed - failed
        return Summary(
            ok=exit_code == OK,
            exit_code=exit_code,
            status=status,
            endpoint=batch.endpoint if batch else "",
            total=total,
            completed=completed,
            failed=failed,
            invalid_output=batch.invalid_output if batch else 0,
            not_run=unsettled if final else 0,
            left=0 if final else unsettled,
            failures=digest.failures if digest is not None else [],
            continued=self._continued,
            calls=traffic.calls,
            retries=max(0, traffic.calls - settled),
            tokens_in=batch.tokens.input if batch else 0,
            tokens_cached=batch.tokens.cached if batch else 0,
            tokens_out=batch.tokens.output if batch else 0,
            tokens_reasoning=batch.tokens.reasoning if batch else 0,
            wall_s=round(wall_s, 3),
            rate=round(settled / wall_s, 3) if wall_s > 0 else 0.0,
            peak_in_flight=traffic.peak,
            output=str(files.output) if final and not files.piped else None,
            errors=str(files.errors) if final and files.errors and batch is not None and batch.error_file_id else None,
            state=str(files.state) if batch is not None and not final else None,
            reasons=reasons or [],
        )


def changed(files: RunFiles, source: Source, config: Config) -> str | None:
    """What of the input is not as it was when the run was begun; None: nothing."""
    with (
        tempfile.TemporaryDirectory() as folder,
        files.index.open("rb") as old,
        tempfile.TemporaryFile(dir=folder) as new,
    ):
        spill = scratch_in(Path(folder))
        now = index_into(source.chunks(), new, spill, config.batches.max_line_bytes)
        return difference(LocalIndex(old), now, source)


def _refusal(batch: Batch, source: Source) -> str:
    """The batch's errors, those of lines with their numbers."""
    told = [
        f"  {source.noun} {error.line}: {error.code}: {error.message}"
        if error.line
        else f"  {error.code}: {error.message}"
        for error in batch.errors[:ERRORS_SHOWN]
    ]
    if len(batch.errors) > ERRORS_SHOWN:
        told.append("  and more")
    if source.hint:
        told.append(f"  {source.hint}")
    return "\n".join((f"{source.name} cannot run; nothing was sent:", *told))
