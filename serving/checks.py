"""Checks in the background: of answers that were given, without anybody waiting for them."""

import asyncio
import hashlib
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from serving.wire.chat import ChatRequest

J = TypeVar("J")

MAX_REQUEST_CHARS = 200_000
"""Longer requests are not checked: a queue of them would hold too much memory."""


class Checks(Generic[J]):
    """Jobs wait in a bounded queue for `run`, a few at a time. What `run` raises goes to `failed`
    and ends no more than its own job. Belongs to one event loop.
    """

    def __init__(
        self,
        run: Callable[[J], Awaitable[None]],
        failed: Callable[[Exception], None],
        *,
        name: str,
        max_concurrent: int,
        max_queued: int,
    ) -> None:
        self._run = run
        self._failed = failed
        self._name = name
        self._max_concurrent = max_concurrent
        self._max_queued = max_queued
        self._queue: deque[J] = deque()
        self._workers: set[asyncio.Task[None]] = set()
        self._closing = False

    def obstacle(self, request: ChatRequest) -> str | None:
        """Why a job for this request would not be taken, None where it would."""
        if self._closing:
            return "shutdown"
        if len(self._queue) >= self._max_queued:
            return "queue_full"
        long = sum(len(m.text) for m in request.messages) > MAX_REQUEST_CHARS
        return "too_long" if long else None

    def put(self, job: J) -> None:
        """Returns at once. Ask for an `obstacle` before."""
        self._queue.append(job)
        if len(self._workers) < self._max_concurrent:
            worker = asyncio.create_task(self._work(), name=self._name)
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)

    async def close(self, timeout_s: float) -> int:
        """Takes no more, waits for what is queued and running, and gives the rest up in time; how
        many that were.
        """
        self._closing = True
        if not self._workers:
            return 0
        _, late = await asyncio.wait(tuple(self._workers), timeout=timeout_s)
        for worker in late:
            worker.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        given_up = len(late) + len(self._queue) if late else 0
        self._queue.clear()
        return given_up

    async def _work(self) -> None:
        while self._queue:
            job = self._queue.popleft()
            try:
                await self._run(job)
            except Exception as error:  # one job must not end the worker
                self._failed(error)


def drawn(request_id: str, share: float, purpose: str) -> bool:
    """A draw that comes out alike whenever it is made for this request, and that has nothing to do
    with the draws for other purposes (16 bytes at most).
    """
    digest = hashlib.blake2b(request_id.encode(), digest_size=8, person=purpose.encode()).digest()
    return int.from_bytes(digest) < share * 2**64
