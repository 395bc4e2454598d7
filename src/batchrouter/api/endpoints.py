"""Every call of the API, one row each: the routes and the description at `/openapi.json` are made from this table."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum

from starlette.requests import Request
from starlette.responses import Response

from batchrouter.api import (
    batch_objects,
    batch_routes,
    check_objects,
    event_objects,
    event_routes,
    file_routes,
    objects,
    other_routes,
    provider_objects,
    quote_objects,
    requests,
    result_objects,
    result_routes,
    summary_objects,
    upload_routes,
)
from batchrouter.api.context import Context
from batchrouter.service.caller import Caller

Handler = Callable[[Context, Request, Caller], Awaitable[Response]]


class Home(Enum):
    """Under which paths a call is, and who may make it."""

    V1 = ("/v1", "/api/v1")
    ADMIN = ("/admin/v1",)


@dataclass(frozen=True, slots=True)
class Query:
    name: str
    type: str
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """`form` is a multipart body, `body` a JSON one; `reply` None means the bytes of a file."""

    method: str
    path: str
    name: str
    words: str
    handler: Handler
    reply: type | None
    home: Home = Home.V1
    body: type | None = None
    form: type | None = None
    query: tuple[Query, ...] = ()
    errors: tuple[int, ...] = (401,)


AFTER = Query("after", "string", "List what comes after the object with this id.")
ORDER = Query("order", "string", "By time of creation: `desc` (default) or `asc`.")
PURPOSE = Query("purpose", "string", "List only files of this purpose.")
TENANT = Query("tenant", "string", "List only keys of the tenant of this name.")
FILTERS = (
    Query("status", "string", "States, joined by commas."),
    Query("model", "string", "A model of the batch or of one of its lanes; `*` stands for any characters."),
    Query("endpoint", "string", "The batch's endpoint."),
    Query("search", "string", "Part of the id, the model, the input file's id, or of a key or value of the metadata."),
    Query("metadata[KEY]", "string", "The value that the metadata has under this key."),
    Query("created_after", "integer", "Created at this time (unix seconds) or later."),
    Query("created_before", "integer", "Created before this time (unix seconds)."),
    Query("retry_of", "string", "Batches that retry this one."),
    Query("tenant", "string", "With an admin's key: act for the tenant of this name; `*`: list those of all tenants."),
)


WAIT = Query("wait", "integer", "Seconds, up to 60, for which to wait for news; also as `Prefer: wait=60`.")


def _limit(most: int, default: int) -> Query:
    return Query("limit", "integer", f"1 to {most}, {default} by default.")


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        method="POST",
        path="/files",
        name="createFile",
        words="Upload a file. It is checked to be JSONL when its purpose is batch.",
        handler=file_routes.create_file,
        form=requests.CreateFile,
        reply=objects.FileObject,
        errors=(400, 401, 408, 413, 507),
    ),
    Endpoint(
        method="GET",
        path="/files",
        name="listFiles",
        words="List files.",
        handler=file_routes.list_files,
        query=(PURPOSE, _limit(10_000, 10_000), ORDER, AFTER),
        reply=objects.FileList,
        errors=(400, 401),
    ),
    Endpoint(
        method="GET",
        path="/files/{file_id}",
        name="retrieveFile",
        words="Retrieve a file's object.",
        handler=file_routes.retrieve_file,
        reply=objects.FileObject,
        errors=(401, 404),
    ),
    Endpoint(
        method="DELETE",
        path="/files/{file_id}",
        name="deleteFile",
        words="Delete a file. A batch that still reads it goes on.",
        handler=file_routes.delete_file,
        reply=objects.FileDeleted,
        errors=(401, 404),
    ),
    Endpoint(
        method="GET",
        path="/files/{file_id}/content",
        name="downloadFile",
        words="Download a file, or with `Range` a part of it. `batch-output-<batch id>.jsonl` names a batch's output.",
        handler=file_routes.file_content,
        reply=None,
        errors=(401, 404, 416),
    ),
    Endpoint(
        method="GET",
        path="/files/{file_id}/estimate",
        name="estimateFile",
        words="What a batch of this file would take: tokens, cost and time of each lane, before anything is sent.",
        handler=file_routes.estimate_file,
        reply=quote_objects.EstimateObject,
        errors=(400, 401, 404),
    ),
    Endpoint(
        method="GET",
        path="/files/{file_id}/check",
        name="checkFile",
        words="What is wrong with the lines of a file, and where they would go, before a batch is made of it.",
        handler=file_routes.check_file,
        query=(Query("endpoint", "string", "The batch's endpoint; that of the first line where it is not given."),),
        reply=check_objects.CheckObject,
        errors=(400, 401, 404),
    ),
    Endpoint(
        method="POST",
        path="/uploads",
        name="createUpload",
        words="Begin an upload in parts. It lives for an hour.",
        handler=upload_routes.create_upload,
        body=requests.CreateUpload,
        reply=objects.UploadObject,
        errors=(400, 401, 413),
    ),
    Endpoint(
        method="POST",
        path="/uploads/{upload_id}/parts",
        name="addUploadPart",
        words="Add a part of at most 64 MiB. Parts may come in parallel and in any order.",
        handler=upload_routes.add_part,
        form=requests.AddPart,
        reply=objects.PartObject,
        errors=(400, 401, 404, 408, 413, 507),
    ),
    Endpoint(
        method="POST",
        path="/uploads/{upload_id}/complete",
        name="completeUpload",
        words="Put the parts together, in the order given, and make the file.",
        handler=upload_routes.complete_upload,
        body=requests.CompleteUpload,
        reply=objects.UploadObject,
        errors=(400, 401, 404, 507),
    ),
    Endpoint(
        method="POST",
        path="/uploads/{upload_id}/cancel",
        name="cancelUpload",
        words="Cancel an upload.",
        handler=upload_routes.cancel_upload,
        reply=objects.UploadObject,
        errors=(400, 401, 404),
    ),
    Endpoint(
        method="POST",
        path="/batches",
        name="createBatch",
        words="Create a batch from an uploaded file. With an `Idempotency-Key` header a repeat is harmless.",
        handler=batch_routes.create_batch,
        body=requests.CreateBatch,
        reply=batch_objects.BatchObject,
        errors=(400, 401, 409),
    ),
    Endpoint(
        method="GET",
        path="/batches",
        name="listBatches",
        words="List batches, newest first, or those that all the filters given want.",
        handler=batch_routes.list_batches,
        query=(_limit(100, 20), AFTER, *FILTERS),
        reply=batch_objects.BatchList,
        errors=(400, 401),
    ),
    Endpoint(
        method="GET",
        path="/batches/{batch_id}",
        name="retrieveBatch",
        words="Retrieve a batch; with `wait`, as soon as it is final or its state, counts or pause have changed.",
        handler=batch_routes.retrieve_batch,
        query=(WAIT, Query("wait_for", "string", "`change` (default), or `final`: wait until the batch has ended.")),
        reply=batch_objects.BatchObject,
        errors=(400, 401, 404),
    ),
    Endpoint(
        method="GET",
        path="/batches/{batch_id}/results",
        name="listResults",
        words="List the lines that are finished, while the batch runs and ever after: as JSON, as the bare lines of "
        "its files (`Accept: application/x-ndjson`), or as events (`Accept: text/event-stream`).",
        handler=result_routes.list_results,
        query=(
            Query(
                "order",
                "string",
                "`completion` (default), in which no line is ever missed by who follows `next`, or `input`.",
            ),
            _limit(1_000, 100),
            Query("after", "string", "What `next` of the page before said."),
            Query(
                "outcome",
                "string",
                "succeeded, failed, expired, cancelled, invalid_output, unfinished (in input order alone), joined by "
                "commas.",
            ),
            Query(
                "finish_reason",
                "string",
                "stop, length, tool_calls, content_filter, other, none, joined by commas.",
            ),
            Query("code", "string", "HTTP statuses, or codes of the line's error or of its body's, joined by commas."),
            Query("custom_id", "string", "Part of the custom_id."),
            Query("text", "string", "Part of a text in request or answer, in whatever case."),
            Query("include", "string", "`request`: with the line of the input file."),
            Query("format", "string", "`json` or `jsonl`, whatever the `Accept` header says."),
            WAIT,
        ),
        reply=result_objects.LineList,
        errors=(400, 401, 404, 409),
    ),
    Endpoint(
        method="GET",
        path="/batches/{batch_id}/events",
        name="listEvents",
        words="List the changes of a batch's state; with `Accept: text/event-stream` as they happen, and the batch "
        "itself whenever it has changed.",
        handler=event_routes.list_events,
        query=(_limit(100, 100), Query("after", "integer", "List what comes after the event with this `no`."), WAIT),
        reply=event_objects.EventList,
        errors=(400, 401, 404),
    ),
    Endpoint(
        method="GET",
        path="/batches/{batch_id}/results/{line}",
        name="retrieveResult",
        words="Retrieve one line with its request; lines are counted from 0, as they stand in the input file.",
        handler=result_routes.retrieve_result,
        reply=result_objects.LineObject,
        errors=(400, 401, 404, 409),
    ),
    Endpoint(
        method="GET",
        path="/batches/{batch_id}/summary",
        name="summarizeBatch",
        words="What its finished lines come to: pace, errors and finish reasons by kind, latency, curves over time.",
        handler=batch_routes.summarize_batch,
        reply=summary_objects.SummaryObject,
        errors=(401, 404),
    ),
    Endpoint(
        method="POST",
        path="/batches/{batch_id}/cancel",
        name="cancelBatch",
        words="Cancel a batch. Finished lines are kept and delivered.",
        handler=batch_routes.cancel_batch,
        reply=batch_objects.BatchObject,
        errors=(401, 404, 409),
    ),
    Endpoint(
        method="POST",
        path="/batches/{batch_id}/pause",
        name="pauseBatch",
        words="Send nothing more of a batch until it is resumed. Its deadline stands; calls in flight end and count.",
        handler=batch_routes.pause_batch,
        reply=batch_objects.BatchObject,
        errors=(401, 404, 409),
    ),
    Endpoint(
        method="POST",
        path="/batches/{batch_id}/resume",
        name="resumeBatch",
        words="Go on with a batch that was paused.",
        handler=batch_routes.resume_batch,
        reply=batch_objects.BatchObject,
        errors=(401, 404, 409),
    ),
    Endpoint(
        method="GET",
        path="/models",
        name="listModels",
        words="List the models that the configured providers serve.",
        handler=other_routes.list_models,
        reply=objects.ModelList,
    ),
    Endpoint(
        method="GET",
        path="/models/{model:path}",
        name="retrieveModel",
        words="Retrieve a model; its id may hold slashes.",
        handler=other_routes.retrieve_model,
        reply=objects.ModelObject,
        errors=(401, 404),
    ),
    Endpoint(
        method="GET",
        path="/me",
        name="retrieveCaller",
        words="Whose key this is, and which version answers.",
        handler=other_routes.retrieve_caller,
        reply=objects.CallerObject,
    ),
    Endpoint(
        method="GET",
        path="/providers",
        name="listProviders",
        words="The configured providers: whether they answer, which limits were learnt, what waits for them.",
        handler=other_routes.list_providers,
        home=Home.ADMIN,
        reply=provider_objects.ProviderList,
        errors=(401, 403),
    ),
    Endpoint(
        method="POST",
        path="/keys",
        name="createKey",
        words="Make an API key. The reply is the only place that ever holds its secret.",
        handler=other_routes.create_key,
        home=Home.ADMIN,
        body=requests.CreateKey,
        reply=objects.KeyObject,
        errors=(400, 401, 403),
    ),
    Endpoint(
        method="GET",
        path="/keys",
        name="listKeys",
        words="List API keys, newest first, revoked ones included.",
        handler=other_routes.list_keys,
        home=Home.ADMIN,
        query=(TENANT,),
        reply=objects.KeyList,
        errors=(401, 403, 404),
    ),
    Endpoint(
        method="DELETE",
        path="/keys/{key_id}",
        name="revokeKey",
        words="Revoke an API key. It may still work for five seconds.",
        handler=other_routes.revoke_key,
        home=Home.ADMIN,
        reply=objects.KeyObject,
        errors=(401, 403, 404),
    ),
    Endpoint(
        method="POST",
        path="/tenants",
        name="putTenant",
        words="Make a tenant, or change its weight and quotas.",
        handler=other_routes.put_tenant,
        home=Home.ADMIN,
        body=requests.PutTenant,
        reply=objects.TenantObject,
        errors=(400, 401, 403),
    ),
    Endpoint(
        method="GET",
        path="/tenants",
        name="listTenants",
        words="List tenants, with what they have.",
        handler=other_routes.list_tenants,
        home=Home.ADMIN,
        reply=objects.TenantList,
        errors=(401, 403),
    ),
)
