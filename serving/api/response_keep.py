"""What of responses is kept, and what is told of it later."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog

from serving.api.auth import Caller
from serving.batch.values import utc_now
from serving.settings.responses import ResponseSettings
from serving.storage.responses import ResponseStore, StoredResponse
from serving.wire.render import dumps
from serving.wire.responses.items import stored
from serving.wire.responses.render import Head

_log = structlog.get_logger("stepwell.api")


@dataclass(frozen=True, slots=True)
class Keeper:
    """Keeps the responses of one caller."""

    store: ResponseStore
    settings: ResponseSettings
    caller: Caller

    def described(self, head: Head, body: Mapping[str, Any]) -> StoredResponse:
        now = utc_now()
        items = stored(head.asked.input, head.id.removeprefix("resp_"))
        return StoredResponse(
            id=head.id,
            tenant=self.caller.tenant,
            key_id=self.caller.key_id,
            created_at=now,
            expires_at=now + timedelta(seconds=self.settings.ttl_s),
            status=body["status"],
            previous_id=head.asked.previous_response_id,
            input=dumps(items),
            body=dumps(body),
        )

    async def keep(self, head: Head, body: dict[str, Any]) -> dict[str, Any]:
        """The body as the client gets it. An answer that was paid for is not lost because it
        can't be stored: it says `store: false` then.
        """
        if not head.store:
            return body
        row = self.described(head, body)
        if row.size > self.settings.max_bytes:
            _log.warning("response_not_stored", response=head.id, bytes=row.size)
            return {**body, "store": False}
        try:
            await self.store.add(row)
        except Exception as error:
            _log.error("response_not_stored", response=head.id, error=type(error).__name__)
            return {**body, "store": False}
        return body


def input_page(
    row: StoredResponse, *, after: str | None, limit: int, ascending: bool
) -> tuple[list[dict[str, Any]], bool] | None:
    """Items of the response's own input, and whether more follow; None where there is no item
    `after`.
    """
    items: list[dict[str, Any]] = json.loads(row.input)
    if not ascending:
        items.reverse()
    if after is not None:
        at = next((n for n, item in enumerate(items) if item["id"] == after), None)
        if at is None:
            return None
        items = items[at + 1 :]
    return items[:limit], len(items) > limit
