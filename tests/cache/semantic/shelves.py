"""Opens shelves for tests, and looks into them."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import func, select

from cache.semantic.entry import Candidate, Entry
from cache.semantic.settings import ShelfSettings
from cache.semantic.shelf import Shelf
from serving.storage.database import Database
from serving.storage.schema import semantic_entries
from tests.cache.semantic.entries import DIMENSIONS, EMBEDDER, new


class Clock:
    """Unix seconds that a test moves."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def shelf_at(
    database: Database,
    *,
    embedder: str = EMBEDDER,
    clock: Callable[[], float] | None = None,
    **settings: Any,
) -> AsyncIterator[Shelf]:
    more = {} if clock is None else {"clock": clock}
    shelf = await Shelf.open(
        database,
        embedder=embedder,
        dimensions=DIMENSIONS,
        settings=ShelfSettings(**settings),
        **more,
    )
    try:
        yield shelf
    finally:
        await shelf.close()


async def rows(database: Database) -> int:
    async with database.read() as connection:
        query = select(func.count()).select_from(semantic_entries)
        return int((await connection.execute(query)).scalar_one())


def texts(found: list[Candidate]) -> list[str]:
    return [candidate.entry.text for candidate in found]


async def kept(shelf: Shelf, number: int = 0, **given: object) -> Entry:
    entry = await shelf.add(new(number, **given))
    assert entry is not None
    return entry
