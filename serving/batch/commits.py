"""Results on their way into the database, together where they come together."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class Commits(Generic[T]):
    """Writes what came while the last write ran in one next write: a transaction for each line
    would hold up everybody who writes.
    """

    def __init__(self, write: Callable[[Sequence[T]], Awaitable[None]]) -> None:
        self._write = write
        self._waiting: list[tuple[T, asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None

    async def put(self, item: T) -> None:
        """Returns once `item` is written; raises what its write raised. The write goes on when the
        caller is cancelled.
        """
        written = asyncio.get_running_loop().create_future()
        self._waiting.append((item, written))
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        await asyncio.shield(written)

    async def idle(self) -> None:
        """Waits until all that was put is written, or failed."""
        while self._task is not None:
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        try:
            while self._waiting:
                group, self._waiting = self._waiting, []
                await self._write_group(group)
        finally:
            self._task = None

    async def _write_group(self, group: list[tuple[T, asyncio.Future[None]]]) -> None:
        try:
            await self._write([item for item, _ in group])
        except Exception as error:
            for _, written in group:
                written.set_exception(error)
                written.exception()  # a caller that was cancelled does not ask for it
        else:
            for _, written in group:
                written.set_result(None)
