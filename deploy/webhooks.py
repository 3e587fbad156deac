"""Signed notices of ended work, and what delivers them."""

from contextlib import AsyncExitStack

from serving.batch.values import utc_now
from serving.batch.webhooks.allowed import Allowed
from serving.batch.webhooks.courier import Courier
from serving.batch.webhooks.notice import Signer
from serving.batch.webhooks.reach import resolve
from serving.batch.webhooks.send import Sender
from serving.settings.root import Settings
from serving.storage.database import Database
from serving.telemetry.metrics import Metrics
from serving.telemetry.webhooks import WebhookMetrics


async def open_courier(
    settings: Settings, database: Database, metrics: Metrics, stack: AsyncExitStack
) -> None:
    """Delivers until the stack is closed, where webhooks are on. `ConfigError` where the secret is
    not there.
    """
    wanted = settings.batch.webhooks
    if not wanted.enabled:
        return
    sender = await Sender.open(
        Allowed(wanted),
        Signer.of(wanted),
        timeout_s=wanted.timeout_s,
        lookup=resolve,
        clock=utc_now,
    )
    stack.push_async_callback(sender.aclose)
    counts = WebhookMetrics(metrics.registry)
    courier = Courier(database, sender, wanted, counts, poll_s=settings.batch.poll_s)
    await courier.start()
    stack.push_async_callback(courier.close, settings.server.drain_s)
