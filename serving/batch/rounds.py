"""A job that is done again and again, at once where there is news."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import structlog

_log = structlog.get_logger("stepwell.batch")


class Rounds:
    """Calls `turn` from `start` to `close`: at once when it is woken, else every `poll_s` seconds.
    What a turn raises is logged as `failed`, and the next one comes.
    """

    def __init__(self, turn: Callable[[], Awaitable[None]], *, poll_s: float, failed: str) -> None:
        self._turn = turn
        self._poll_s = poll_s
        self._failed = failed
        self._woken = asyncio.Event()
        self._closing = False
        self._task: asyncio.Task[None] | None = None

    def wake(self) -> None:
        self._woken.set()

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name=self._failed)

    async def close(self) -> None:
        """Waits for the turn under way: a statement that is cut short keeps its connection."""
        self._closing = True
        self.wake()
        if self._task is not None:
            await self._task

    async def _run(self) -> None:
        while not self._closing:
            self._woken.clear()
            try:
                await self._turn()
            except Exception:
                _log.exception(self._failed)
            with contextlib.suppress(TimeoutError):
                if not self._closing:
                    async with asyncio.timeout(self._poll_s):
                        await self._woken.wait()
