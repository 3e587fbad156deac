"""What tenants ask of batches."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from serving.backend import new_id
from serving.batch.files import FileStore
from serving.batch.progress import Progress
from serving.batch.requests import CreateBatch, window
from serving.batch.store import BatchStore
from serving.batch.tally import Tally
from serving.batch.values import Batch, Clock, Owner, utc_now
from serving.batch.webhooks.allowed import OFF, Allowed
from serving.batch.wire import batch_wire
from serving.errors import InvalidRequest
from serving.storage.database import Database


class BatchService:
    """`wake` is called where a worker may have something to do."""

    def __init__(
        self,
        database: Database,
        files: FileStore,
        *,
        wake: Callable[[], None] = lambda: None,
        webhooks: Allowed = OFF,
        clock: Clock = utc_now,
    ) -> None:
        self._store = BatchStore(database)
        self._files = files
        self._wake = wake
        self._webhooks = webhooks
        self._clock = clock

    async def create(self, owner: Owner, asked: CreateBatch) -> dict[str, Any]:
        """Raises `ClientError`. The lines are checked afterwards; what is wrong with them makes the
        batch fail.
        """
        self._webhooks.check(asked.metadata)
        file = await self._files.get(owner.tenant, asked.input_file_id)
        if file.purpose != "batch":
            raise InvalidRequest(
                f"The file's purpose is '{file.purpose}'; a batch needs one with 'batch'.",
                param="input_file_id",
                code="invalid_purpose",
            )
        now, lives = self._clock(), asked.output_expires_after
        batch = Batch(
            id=f"batch_{new_id()}",
            tenant=owner.tenant,
            key_id=owner.key_id,
            endpoint=asked.endpoint,
            input_file_id=file.id,
            completion_window=asked.completion_window,
            labels=asked.metadata,
            status="validating",
            created_at=now,
            expires_at=now + window(asked.completion_window),
            output_ttl_s=None if lives is None else lives.seconds,
        )
        await self._store.add(batch, most_open=self._files.settings.max_tenant_batches)
        self._wake()
        return batch_wire(batch, Tally(), Progress())

    def wake(self) -> None:
        """There may be something to do for a worker."""
        self._wake()

    async def retrieve(self, owner: Owner, batch_id: str) -> dict[str, Any]:
        return batch_wire(*await self._store.get(owner.tenant, batch_id))

    async def page(
        self, owner: Owner, *, after: str | None, limit: int
    ) -> tuple[list[dict[str, Any]], bool]:
        """Newest first, and whether more follow."""
        found, more = await self._store.page(owner.tenant, after=after, limit=limit)
        return [batch_wire(*seen) for seen in found], more

    async def cancel(self, owner: Owner, batch_id: str) -> dict[str, Any]:
        """`InvalidRequest` where it is too late for that."""
        await self._store.cancel(owner.tenant, batch_id, self._clock())
        self._wake()
        return await self.retrieve(owner, batch_id)


@dataclass(frozen=True, slots=True)
class Work:
    """Work that can wait, as the API sees it."""

    files: FileStore
    batches: BatchService
