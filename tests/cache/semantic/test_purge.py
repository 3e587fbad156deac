"""What a purge takes, in memory and in the database, and what it leaves."""

import asyncio
from dataclasses import replace

import pytest

from cache.semantic.purge import Purge
from serving.errors import InvalidRequest
from serving.storage.database import Database
from tests.cache.semantic.entries import HERE, THERE, axis, new
from tests.cache.semantic.shelves import Clock, kept, rows, shelf_at

PURGES = [
    (Purge(tenant="acme"), {4, 5}),
    (Purge(tenant="nobody"), {0, 1, 2, 3, 4, 5}),
    (Purge(everything=True), set()),
    (Purge(tenant="acme", task="billing"), {0, 2, 3, 4, 5}),
    (Purge(tenant="acme", tag="a"), {1, 3, 4, 5}),
    (Purge(tenant="acme", tag="A"), {0, 1, 2, 3, 4, 5}),
    (Purge(everything=True, tag="a"), {1, 3, 5}),
    (Purge(tenant="acme", document="d@1"), {1, 2, 3, 4, 5}),
    (Purge(tenant="acme", document_but="d@1"), {0, 1, 3, 4, 5}),
    (Purge(tenant="acme", text="ÄRGER"), {0, 1, 2, 4, 5}),
    (Purge(tenant="acme", text="100%_"), {0, 1, 2, 3, 4, 5}),
    (Purge(everything=True, older_than=1_000_002.5), {3, 4, 5}),
    (Purge(tenant="acme", tag="a", document="d@2"), {0, 1, 3, 4, 5}),
]


@pytest.mark.parametrize(("what", "left"), PURGES)
async def test_a_purge_takes_what_it_means_and_no_more(
    database: Database, what: Purge, left: set[int]
) -> None:
    clock = Clock(1_000_000)
    given: list[dict[str, object]] = [
        {"tags": ("a", "b"), "document": "d@1"},
        {"task": "billing"},
        {"tags": ("ab", "a"), "document": "d@2"},
        {"text": "Mein ärger"},
        {"tenant": "other", "scope": THERE, "tags": ("a",)},
        {"tenant": "other", "scope": THERE},
    ]
    async with shelf_at(database, clock=clock) as shelf:
        for number, marks in enumerate(given):
            await kept(shelf, number, expires_at=2e9, **marks)
            clock.now += 1
        async with shelf_at(database, embedder="another", clock=clock) as other:
            await kept(other, 0, expires_at=2e9, **given[0])
        before = await rows(database)
        gone = await shelf.purge(what)
        assert await rows(database) == before - gone
        stays = shelf.find(HERE, axis(0), 10) + shelf.find(THERE, axis(0), 10)
        assert {int(c.entry.request_id[4:]) for c in stays} == left
        # The other embedder's copy of entry 0 goes with it, unless it is too young.
        assert gone == 6 - len(left) + (0 not in left and what.older_than is None)


async def test_a_purge_reaches_what_is_on_its_way_in(database: Database) -> None:
    clock = Clock(1_000_000)
    async with shelf_at(database, clock=clock) as shelf:
        adding = asyncio.create_task(shelf.add(new(1, document="d@1", expires_at=2e9)))
        await asyncio.sleep(0)
        await shelf.purge(Purge(tenant="acme", document="d@1"))
        await adding
        assert shelf.find(HERE, axis(1)) == []
        assert await rows(database) == 0
        late = new(2, document="d@1", expires_at=2e9, asked_at=clock.now - 1)
        assert await shelf.add(late) is None
        assert await shelf.add(replace(late, asked_at=clock.now + 1)) is not None
        other = replace(late, question=replace(late.question, tenant="other"))
        assert await shelf.add(other) is not None


@pytest.mark.parametrize("marks", [{}, {"tenant": "acme", "everything": True}, {"tag": "a"}])
def test_a_purge_says_whose_entries_it_means(marks: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest, match="tenant"):
        Purge(**marks)  # type: ignore[arg-type]  # a test's parameters
