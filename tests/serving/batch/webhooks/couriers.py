"""A courier to receivers on this host, and what stands in the database afterwards."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import select

from serving.batch.values import Clock, utc_now
from serving.batch.webhooks.allowed import Allowed
from serving.batch.webhooks.courier import Courier
from serving.batch.webhooks.notice import Signer
from serving.batch.webhooks.queue import owe
from serving.batch.webhooks.reach import resolve
from serving.batch.webhooks.send import Sender
from serving.settings.webhooks import WebhookSettings
from serving.storage.database import Database
from serving.storage.webhooks import webhooks
from tests.serving.batch.webhooks.receiver import Receiver


@dataclass
class Results:
    counts: Counter[str] = field(default_factory=Counter)
    more: asyncio.Event = field(default_factory=asyncio.Event)

    def tried(self, result: str) -> None:
        self.counts[result] += 1
        self.more.set()

    async def count(self, number: int) -> None:
        """Waits until so many tries have been counted."""
        async with asyncio.timeout(30):
            while self.counts.total() < number:
                self.more.clear()
                await self.more.wait()


def settings(*receivers: Receiver, **changes: Any) -> WebhookSettings:
    """The variable SIGNING holds the secret."""
    hosts = [{"host": "127.0.0.1", "port": r.port, "private": True} for r in receivers]
    given = {"enabled": True, "hosts": hosts, "secret_env": "SIGNING", **changes}
    return WebhookSettings.model_validate(given)


@asynccontextmanager
async def running(
    database: Database,
    chosen: WebhookSettings,
    *,
    clock: Clock = utc_now,
    signing_clock: Clock = utc_now,
    margin_s: float = 30.0,
) -> AsyncIterator[Results]:
    results = Results()
    sender = await Sender.open(
        Allowed(chosen),
        Signer.of(chosen),
        timeout_s=chosen.timeout_s,
        lookup=resolve,
        clock=signing_clock,
    )
    courier = Courier(
        database, sender, chosen, results, poll_s=0.02, margin_s=margin_s, clock=clock
    )
    await courier.start()
    try:
        yield results
    finally:
        await courier.close(drain_s=10)
        await sender.aclose()


async def owed(database: Database, url: str, *subjects: str, now: datetime | None = None) -> None:
    async with database.begin() as connection:
        for subject in subjects:
            await owe(
                connection,
                "default",
                event="batch.completed",
                subject=subject,
                url=url,
                now=now or utc_now(),
            )


async def rows(database: Database) -> Sequence[Any]:
    async with database.read() as connection:
        return (await connection.execute(select(webhooks).order_by(webhooks.c.subject))).all()
