"""A process that is killed while it writes loses nothing that it acknowledged."""

import asyncio
import signal
import sys
from pathlib import Path

from cache.semantic.entry import Entry
from serving.storage.database import Database
from tests.cache.semantic.entries import HERE
from tests.cache.semantic.shelves import shelf_at
from tests.cache.semantic.writing import EVICTED_EVERY

ROOT = Path(__file__).parents[3]
SAID = 300


async def acknowledged_until_killed(url: str) -> list[str]:
    """What the process said before it was killed in the middle of its writing."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.cache.semantic.writing", url),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    said = [(await process.stdout.readline()).decode().strip() for _ in range(SAID)]
    process.send_signal(signal.SIGKILL)
    rest = (await process.stdout.read()).decode()
    assert await process.wait() == -signal.SIGKILL
    return said + rest.splitlines()[: rest.count("\n")]


async def test_kill_9_loses_no_acknowledged_entry(database_url: str) -> None:
    said = await acknowledged_until_killed(database_url)
    added = {int(line.split()[1]) for line in said if line.startswith("added")}
    evicted = {int(line.split()[1]) for line in said if line.startswith("evicted")}
    assert len(added) > SAID / 2
    assert evicted
    database = await Database.open(database_url)
    async with shelf_at(database) as shelf:
        for number in added:
            entry = shelf.exact(HERE, f"question {number}")
            if number in evicted:
                assert entry is None
            elif number % EVICTED_EVERY:
                assert entry is not None
        # Nothing is there by half: what was not acknowledged is whole, or not there at all.
        stats = shelf.stats()
        limit = max(added) + 20
        there = [e for n in range(limit) if (e := shelf.exact(HERE, f"question {n}")) is not None]
        assert len(there) == stats.entries
        assert all(whole(entry) for entry in there)
    await database.close()


def whole(entry: Entry) -> bool:
    number = int(entry.text.split()[1])
    return entry.answer == f"answer {number} ".encode() * 50
