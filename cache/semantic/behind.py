"""What goes on behind an answer: whoever waits for it is told, and the memory learns of it."""

from collections.abc import Coroutine
from typing import Any

import structlog

from cache.semantic.making import Making
from cache.semantic.memory import Memory

MAX_BEHIND = 2_000
"""Things that may go on in the background; answers beyond that are not kept."""

PATIENCE_S = 5.0
"""For what is under way when the server ends."""

_log = structlog.get_logger("stepwell.cache")


class Behind:
    """`close` it: what was made last is still kept."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self.making = Making(self._tend)

    def do(self, work: Coroutine[Any, Any, object]) -> bool:
        """In the background; False where too much is under way."""
        if len(self.making) >= MAX_BEHIND:
            work.close()
            return False
        self.making.begin(_quiet(work))
        return True

    def land(self, flight: str | None, made: bytes | None) -> None:
        """Whoever follows is told, however much is under way."""
        if flight is not None:
            self.making.begin(_quiet(self._memory.land(flight, made)))

    async def close(self) -> None:
        await self.making.close(PATIENCE_S)

    async def _tend(self, flight: str) -> int:
        try:
            return await self._memory.tend(flight)
        except Exception:  # of a memory that is away nobody follows anything
            return 0


async def _quiet(work: Coroutine[Any, Any, object]) -> None:
    """What fails in the background is a miss later on."""
    try:
        await work
    except Exception as error:
        _log.warning("semantic_cache_not_told", error=type(error).__name__)
