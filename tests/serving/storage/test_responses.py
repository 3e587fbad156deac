"""Responses in the database: whose they are, what they go on with, how long they live."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from serving.backend import new_id
from serving.errors import InvalidRequest, NotFound
from serving.storage.database import Database
from serving.storage.responses import ResponseStore, StoredResponse

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def row(text: str = "a", **changes: Any) -> StoredResponse:
    id_ = f"resp_{new_id()}"
    found = StoredResponse(
        id=id_,
        tenant="one",
        key_id=None,
        created_at=NOW,
        expires_at=NOW + 30 * DAY,
        status="completed",
        previous_id=None,
        input=json.dumps([{"type": "message", "id": f"in {text}"}]).encode(),
        body=json.dumps({"id": id_, "output": [{"id": f"out {text}"}]}).encode(),
    )
    return replace(found, **changes)


async def history(store: ResponseStore, id_: str, now: datetime = NOW, most: int = 10_000) -> Any:
    return [i["id"] for i in await store.history("one", id_, now, most_bytes=most)]


async def test_only_its_tenant_sees_it_and_only_in_its_time(database: Database) -> None:
    store, kept = ResponseStore(database), row()
    await store.add(kept)
    assert await store.get("one", kept.id, NOW) == kept
    for tenant, id_, now in (
        ("two", kept.id, NOW),
        ("one", kept.id, NOW + 31 * DAY),
        ("one", f"resp_{new_id()}", NOW),
        ("one", "\x00", NOW),
    ):
        with pytest.raises(NotFound):
            await store.get(tenant, id_, now)
        with pytest.raises(NotFound):
            await store.delete(tenant, id_, now)
        with pytest.raises(NotFound):
            await store.history(tenant, id_, now, most_bytes=10_000)
    await store.delete("one", kept.id, NOW)
    with pytest.raises(NotFound):
        await store.get("one", kept.id, NOW)


async def test_a_conversation_is_read_from_its_beginning(database: Database) -> None:
    store, first = ResponseStore(database), row("1")
    second = row("2", previous_id=first.id, created_at=NOW + 20 * DAY, expires_at=NOW + 50 * DAY)
    third = row("3", previous_id=second.id)
    branch = row("4", previous_id=first.id)
    for one in (first, second, third, branch):
        await store.add(one)
    items = ["in 1", "out 1", "in 2", "out 2", "in 3", "out 3"]
    assert await history(store, third.id) == items
    assert await history(store, branch.id) == [*items[:2], "in 4", "out 4"]
    # What is gone on with lives as long as what goes on.
    assert (await store.get("one", first.id, NOW + 40 * DAY)).id == first.id
    with pytest.raises(InvalidRequest, match="bytes"):
        await history(store, third.id, most=100)
    await store.delete("one", second.id, NOW)
    with pytest.raises(NotFound, match=second.id):
        await history(store, third.id)


@pytest.mark.parametrize("status", ["queued", "failed", "cancelled"])
async def test_without_an_answer_nothing_goes_on(database: Database, status: str) -> None:
    store, first = ResponseStore(database), row(status=status)
    await store.add(first)
    with pytest.raises(InvalidRequest, match=status):
        await history(store, first.id)


async def test_the_sweep_drops_what_is_over_and_what_is_too_much(database: Database) -> None:
    store = ResponseStore(database)
    old = row(expires_at=NOW)
    waiting = row(expires_at=NOW, status="queued")
    rows = [row(str(n), created_at=NOW + n * DAY) for n in range(5)]
    other = row(tenant="two")
    for one in (old, waiting, other, *rows):
        await store.add(one)
    await store.sweep(NOW, max_tenant_bytes=10_000)
    assert await left(store, [old, waiting, *rows]) == [waiting.id, *(r.id for r in rows)]
    size = rows[0].size
    await store.sweep(NOW, max_tenant_bytes=waiting.size + 3 * size)
    assert await left(store, [waiting, *rows]) == [waiting.id, *(r.id for r in rows[2:])]
    assert (await store.get("two", other.id, NOW)).id == other.id


async def test_errors_of_the_database_do_not_repeat_what_was_said(database: Database) -> None:
    store, kept = ResponseStore(database), row("secret")
    await store.add(kept)
    with pytest.raises(IntegrityError) as caught:
        await store.add(kept)
    assert "secret" not in str(caught.value)


async def left(store: ResponseStore, rows: list[StoredResponse]) -> list[str]:
    found = []
    for one in rows:
        try:
            found.append((await store.get("one", one.id, NOW - DAY)).id)
        except NotFound:
            continue
    return found
