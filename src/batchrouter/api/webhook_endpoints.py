"""The rows of webhooks in the table of calls."""

from __future__ import annotations

from batchrouter.api import webhook_objects, webhook_routes
from batchrouter.api.endpoint import AFTER, Endpoint, limit_query

WEBHOOK_ENDPOINTS = (
    Endpoint(
        method="POST",
        path="/webhooks",
        name="createWebhook",
        words="Make a webhook endpoint. Its secret is told in this reply, and in no other but that of a rotation.",
        handler=webhook_routes.create_webhook,
        body=webhook_objects.CreateWebhook,
        reply=webhook_objects.WebhookObject,
        errors=(400, 401),
    ),
    Endpoint(
        method="GET",
        path="/webhooks",
        name="listWebhooks",
        words="List webhook endpoints, the oldest first.",
        handler=webhook_routes.list_webhooks,
        reply=webhook_objects.WebhookList,
    ),
    Endpoint(
        method="GET",
        path="/webhooks/{webhook_id}",
        name="retrieveWebhook",
        words="Retrieve a webhook endpoint.",
        handler=webhook_routes.retrieve_webhook,
        reply=webhook_objects.WebhookObject,
        errors=(401, 404),
    ),
    Endpoint(
        method="POST",
        path="/webhooks/{webhook_id}",
        name="changeWebhook",
        words="Change a webhook endpoint, or enable and disable it. One that is disabled is told nothing, also later.",
        handler=webhook_routes.change_webhook,
        body=webhook_objects.ChangeWebhook,
        reply=webhook_objects.WebhookObject,
        errors=(400, 401, 404, 409),
    ),
    Endpoint(
        method="DELETE",
        path="/webhooks/{webhook_id}",
        name="deleteWebhook",
        words="Delete a webhook endpoint and its log.",
        handler=webhook_routes.delete_webhook,
        reply=webhook_objects.WebhookDeleted,
        errors=(401, 404, 409),
    ),
    Endpoint(
        method="POST",
        path="/webhooks/{webhook_id}/rotate",
        name="rotateWebhook",
        words="Give it a new secret. The one before signs too for 24 hours.",
        handler=webhook_routes.rotate_webhook,
        body=webhook_objects.RotateWebhook,
        reply=webhook_objects.WebhookObject,
        errors=(400, 401, 404, 409),
    ),
    Endpoint(
        method="POST",
        path="/webhooks/{webhook_id}/test",
        name="testWebhook",
        words="Send it an event of type `webhook.test`.",
        handler=webhook_routes.test_webhook,
        reply=webhook_objects.DeliveryObject,
        errors=(401, 404, 409),
    ),
    Endpoint(
        method="GET",
        path="/webhooks/{webhook_id}/deliveries",
        name="listWebhookDeliveries",
        words="List what it was told and is to be told in the last 30 days, newest first, with each attempt.",
        handler=webhook_routes.list_deliveries,
        query=(limit_query(100, 20), AFTER),
        reply=webhook_objects.DeliveryList,
        errors=(400, 401, 404),
    ),
    Endpoint(
        method="POST",
        path="/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver",
        name="redeliverWebhook",
        words="Send a delivery again, under its old id, with all its time for retries before it.",
        handler=webhook_routes.redeliver,
        reply=webhook_objects.DeliveryObject,
        errors=(401, 404, 409),
    ),
)
