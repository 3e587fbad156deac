"""A process that adds entries without end, and prints each that has been acknowledged."""

import asyncio
import sys
from itertools import count

from cache.semantic.settings import ShelfSettings
from cache.semantic.shelf import Shelf
from serving.storage.database import Database
from tests.cache.semantic.entries import DIMENSIONS, EMBEDDER, new

WRITERS = 8
EVICTED_EVERY = 7


async def main(url: str) -> None:
    database = await Database.open(url)
    shelf = await Shelf.open(
        database, embedder=EMBEDDER, dimensions=DIMENSIONS, settings=ShelfSettings()
    )
    numbers = count()

    async def write() -> None:
        for number in numbers:
            await shelf.add(new(number, answer=f"answer {number} ".encode() * 50))
            sys.stdout.write(f"added {number}\n")
            if number % EVICTED_EVERY == 0:
                await shelf.evict(f"req-{number}")
                sys.stdout.write(f"evicted {number}\n")
            sys.stdout.flush()

    await asyncio.gather(*(write() for _ in range(WRITERS)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
