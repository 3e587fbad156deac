"""A worker, a database and an emulated provider in one loop, over real HTTP with the real SDK."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import select

from serving.batch.files import FileStore, new_file_id
from serving.batch.hosted.values import BatchTier, CheaperLive, LateResult, Pays
from serving.batch.hosted.work import Hosted
from serving.batch.requests import CreateBatch
from serving.batch.service import BatchService
from serving.batch.values import Clock, Owner, utc_now
from serving.batch.worker import Worker
from serving.costs.price import MTOK, Price, Rates
from serving.hosted.batches import AnthropicBatches
from serving.hosted.client import EMULATOR_KEY
from serving.hosted.emulator.clock import Clock as EmulatorClock
from serving.settings.batch import BatchSettings
from serving.settings.emulator import EmulatorBatches
from serving.storage.database import Database
from serving.storage.work import hosted_batches
from tests.serving.batch.hosted.desk import MODEL, TIER, Desk
from tests.serving.batch.stack import CHAT, jsonl, line
from tests.serving.hosted.emulator.running import Running, running
from tests.serving.hosted.fakes import tier
from tests.serving.hosted.faulty import Faulty

OWNER = Owner("acme", None)
FAST = BatchSettings(
    poll_s=0.02,
    lease_s=2.0,
    retry_s=0.01,
    flush_s=0.05,
    hosted_poll_s=0.05,
    hosted_poll_max_s=0.2,
    ambiguous_s=1.0,
)
AT_ONCE = EmulatorBatches(delay_s=0.01, requests_per_s=10_000, cancel_s=0.01, cache_share=1.0)
PRICE = Price(
    Rates(*(Decimal(r) / MTOK for r in ("4", "20", "0.2", "5", "8"))),
    source="a test",
    batch_factor=Decimal("0.5"),
)


@dataclass
class Stage:
    database: Database
    files: FileStore
    batches: BatchService
    api: Running
    faulty: Faulty
    desk: Desk
    settings: BatchSettings
    hosted: Hosted
    clock: Clock
    late: list[LateResult] = field(default_factory=list)

    def worker(self) -> Worker:
        return Worker(
            self.database,
            self.files,
            self.desk,
            self.settings,
            max_line_bytes=1_000_000,
            clock=self.clock,
            hosted=self.hosted,
        )

    @asynccontextmanager
    async def working(self) -> AsyncIterator[Worker]:
        worker = self.worker()
        await worker.start()
        try:
            yield worker
        finally:
            await worker.close()

    async def submit(self, lines: Sequence[Any], owner: Owner = OWNER, hours: int = 24) -> str:
        return await submit(self.database, self.files, lines, owner, hours=hours, clock=self.clock)

    async def ended(self, batch_id: str, owner: Owner = OWNER) -> dict[str, Any]:
        """The batch once it has ended."""
        ends = ("completed", "failed", "expired", "cancelled")
        return await self.until(batch_id, lambda b: b["status"] in ends, owner)

    async def until(
        self, batch_id: str, good: Callable[[dict[str, Any]], bool], owner: Owner = OWNER
    ) -> dict[str, Any]:
        async with asyncio.timeout(30):
            while True:
                found = await self.batches.retrieve(owner, batch_id)
                if good(found):
                    return found
                await asyncio.sleep(0.02)

    async def hosted_in(self, *states: str, at_least: int = 1) -> list[Any]:
        """Hosted batches once there are so many and the last is in one of these states."""
        async with asyncio.timeout(30):
            while True:
                found = await self.hosted_rows()
                if len(found) >= at_least and found[-1].state in states:
                    return found
                await asyncio.sleep(0.01)

    async def hosted_rows(self) -> list[Any]:
        async with self.database.read() as connection:
            query = select(hosted_batches).order_by(hosted_batches.c.created_at)
            return list((await connection.execute(query)).all())

    def answers(self, batch: dict[str, Any]) -> dict[str, tuple[int, str]]:
        """Status and text by custom_id, each there once."""
        found: dict[str, tuple[int, str]] = {}
        for name in ("output_file_id", "error_file_id"):
            for custom_id, one in in_file(self.files, batch[name]):
                assert custom_id not in found
                found[custom_id] = one
        return found

    async def sent(self) -> int:
        """Requests in batches that the provider has, done or not."""
        async with self.api.client(EMULATOR_KEY) as sdk:
            batches = [b async for b in sdk.messages.batches.list()]
        counts = [b.request_counts for b in batches]
        return sum(c.processing + c.succeeded + c.errored + c.canceled + c.expired for c in counts)


async def submit(
    database: Database,
    files: FileStore,
    lines: Sequence[Any],
    owner: Owner,
    *,
    hours: int,
    clock: Clock,
) -> str:
    data, file_id = jsonl(lines), new_file_id()
    async with files.writing(file_id) as writer:
        await writer.write(data)
    await files.add(file_id, owner, filename="x", purpose="batch", size=len(data))
    asked = CreateBatch(input_file_id=file_id, endpoint=CHAT, completion_window=f"{hours}h")
    made = await BatchService(database, files, clock=clock).create(owner, asked)
    return str(made["id"])


def in_file(files: FileStore, file_id: str | None) -> list[tuple[str, tuple[int, str]]]:
    if file_id is None:
        return []
    found: list[tuple[str, tuple[int, str]]] = []
    for text in files.path(file_id).read_bytes().splitlines():
        one = orjson.loads(text)
        response = one["response"]
        if response is None:
            found.append((one["custom_id"], (0, one["error"]["code"])))
        else:
            told = (response["status_code"], response["body"]["text"])
            found.append((one["custom_id"], told))
    return found


def hard(count: int, system: str = "", first: int = 0) -> list[dict[str, Any]]:
    return [asked(f"h{i}", f"hard {i}", system) for i in range(first, first + count)]


def asked(custom_id: str, text: str, system: str = "") -> dict[str, Any]:
    found = line(custom_id, text)
    if system:
        found["body"]["messages"].insert(0, {"role": "system", "content": system})
    return found


@asynccontextmanager
async def stage(
    database: Database,
    folder: Path,
    *,
    settings: BatchSettings = FAST,
    pays: Pays | None = None,
    cheaper_live: CheaperLive | None = None,
    clock: Clock = utc_now,
    **options: Any,
) -> AsyncIterator[Stage]:
    """The emulator's clock runs, and can be moved on; `options` are of the emulator."""
    options.setdefault("clock", EmulatorClock(movable=True))
    options.setdefault("batches", AT_ONCE)
    late: list[LateResult] = []

    async def book(one: LateResult) -> None:
        late.append(one)

    async with running(**options) as api, Faulty.around(api.emulator) as faulty:
        backend = AnthropicBatches(tier(MODEL), price=PRICE, base_url=faulty.url)
        files = FileStore(database, folder / "files", settings, clock)
        hosted = Hosted({TIER: BatchTier(TIER, backend, pays, cheaper_live)}, book=book)
        service = BatchService(database, files, clock=clock)
        try:
            yield Stage(
                database, files, service, api, faulty, Desk(), settings, hosted, clock, late
            )
        finally:
            await backend.aclose()
