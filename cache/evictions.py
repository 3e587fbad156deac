"""Evictions across processes: what one gateway finds wrong, the others stop answering.

Each gateway keeps answers of its own. It looks every `l1_poll_s` for what others evicted, and tells
them of its own evictions through the same table. The scope of an eviction is the key of the entry,
a digest: the same question in another gateway, whoever asked it there, and nothing beside it.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

import structlog
from cachetools import LRUCache

from cache.epochs import Epochs
from serving.settings.root import CacheSettings
from serving.storage.epochs import Changes
from serving.storage.semantic import PURGE

REMEMBERED_ANSWERS = 16_384
"""Answers whose key is known from their request, so that a check that takes a while finds it."""

MAX_PENDING = 4_096
DATABASE_TIMEOUT_S = 10.0

_log = structlog.get_logger("stepwell.cache")


class Store(Protocol):
    """What this needs of `EpochStore`."""

    async def bump(self, scopes: list[str]) -> None: ...

    async def changes(self, since: int | None) -> Changes: ...


class SharedEvictions:
    """Give it to an `ExactCached` where several processes answer the same clients. `clock` counts
    seconds and is compared with no other process's.
    """

    def __init__(
        self,
        store: Store,
        settings: CacheSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock
        self._epochs = Epochs()
        self._newest: int | None = None
        self._looked_at = float("-inf")
        self._keys: LRUCache[str, str] = LRUCache(REMEMBERED_ANSWERS)
        self._wrong: LRUCache[str, None] = LRUCache(MAX_PENDING)
        self._pending: dict[str, float] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._failing = False
        self._closing = False

    async def start(self) -> None:
        """Looks once and goes on in the background. A database that is away raises nothing: the
        cache answers once it is back.
        """
        await self._turn()
        self._task = asyncio.create_task(self._run(), name="cache evictions")

    async def close(self) -> None:
        """Tells the others what they have not been told yet, if the database is there."""
        self._closing = True
        self._wake.set()
        if self._task is not None:
            await self._task
        if self._pending and not self._failing:
            await self._turn()

    @property
    def look(self) -> int:
        """The number of looks so far; an answer is stored with that of its request's arrival."""
        return self._epochs.looks

    @property
    def fresh(self) -> bool:
        """False where the last successful look is older than an entry may become: what has been
        evicted since is unknown, so the cache must not answer.
        """
        return self._clock() - self._looked_at < self._settings.l1_ttl_s

    def overtaken(self, key: str, look: int) -> bool:
        """Whether the entry `key`, asked for after `look`, has been evicted by any gateway."""
        return self._epochs.overtaken(key, look)

    def made(self, request_id: str, key: str) -> None:
        """The request was answered under `key`; told whether or not the answer was kept."""
        if request_id in self._wrong:
            del self._wrong[request_id]
            self._tell(key)
        else:
            self._keys[request_id] = key

    def evict(self, request_id: str) -> None:
        """Returns at once; the others are told in the background. An answer on its way in is told
        of when it arrives.
        """
        key = self._keys.pop(request_id, None)
        if key is None:
            self._wrong[request_id] = None
        else:
            self._tell(key)

    def _tell(self, key: str) -> None:
        if len(self._pending) >= MAX_PENDING:
            self._pending.pop(next(iter(self._pending)))
        self._pending[key] = self._clock()
        self._wake.set()

    async def _run(self) -> None:
        while not self._closing:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._settings.l1_poll_s)
            self._wake.clear()
            await self._turn()

    async def _turn(self) -> None:
        """Tells and looks; one line is logged per outage. What could not be told is tried again
        until every entry that it concerns has outlived its time.
        """
        try:
            async with asyncio.timeout(DATABASE_TIMEOUT_S):
                await self._push()
                await self._look()
        except Exception as error:  # whatever it is, the next turn tries again
            if not self._failing:
                _log.error("evictions_not_shared", error=type(error).__name__)
            self._failing = True
            return
        if self._failing:
            _log.info("evictions_shared_again")
        self._failing = False

    async def _push(self) -> None:
        due = self._clock() - self._settings.l1_ttl_s
        told = {key: at for key, at in self._pending.items() if at >= due}
        self._pending = {}
        try:
            await self._store.bump(list(told))
        except BaseException:
            self._pending = told | self._pending
            raise

    async def _look(self) -> None:
        began = self._clock()
        changes = await self._store.changes(self._newest)
        # Of a purge it is not known here which entries it means, so all of them go.
        purged = any(scope.startswith(PURGE) for scope in changes.scopes)
        self._epochs.learn(changes.scopes, complete=changes.complete and not purged)
        self._newest = changes.newest
        self._looked_at = began
