"""Hits and checks of entries, counted in memory and added to their rows a little later."""

from collections import defaultdict
from contextlib import suppress

import structlog

from cache.semantic import store
from cache.semantic.writes import Writer

CLOSE_TRIES = 3

_log = structlog.get_logger("stepwell.cache")


class Counted:
    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._waiting: defaultdict[int, store.Counts] = defaultdict(store.Counts)

    def hit(self, key: int, at: float) -> None:
        counts = self._waiting[key]
        counts.hits += 1
        counts.last_hit_at = at

    def judged(self, key: int, *, wrong: bool) -> None:
        counts = self._waiting[key]
        counts.wrong += wrong
        counts.right += not wrong

    async def flush(self) -> None:
        """Writes what waits; it waits on where that fails."""
        if not self._waiting:
            return
        counted, self._waiting = self._waiting, defaultdict(store.Counts)
        try:
            await self._writer.do(lambda c: store.count(c, counted))
        except Exception:  # not where the caller leaves: then they are still being written
            for key, counts in counted.items():
                self._waiting[key].add(counts)
            raise

    async def close(self) -> None:
        """Writes what waits, or says that it is lost."""
        for _ in range(CLOSE_TRIES):
            with suppress(Exception):
                await self.flush()
        if self._waiting:
            _log.error("semantic_counts_lost", entries=len(self._waiting))
