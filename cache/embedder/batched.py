"""One model for many requests: what is ready together is computed together, and nothing waits.

The model runs in one thread of its own. While it runs, texts gather; when it is free, it takes what
is there. A request alone is computed at once. A request of many texts takes turns with the others,
so that a lookup never waits for a long list.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import accumulate

from cache.embedder.base import Encoded, Model, Vectors
from serving.errors import Overloaded

MAX_BATCH = 32
"""Texts of one run: more would not make it faster on a CPU, and a newcomer waits for its end."""

MAX_CHARS = 8_192
"""Characters of one run: as many as take a CPU some 0.1 s. A longer text runs alone."""

MAX_WAITING = 8_192
RETRY_AFTER_S = 1.0


@dataclass(slots=True, eq=False)
class _Job:
    texts: Sequence[str]
    done: "asyncio.Future[Encoded]"
    parts: list[Encoded] = field(default_factory=list)
    taken: int = 0

    @property
    def left(self) -> int:
        return len(self.texts) - self.taken


class BatchedEmbedder:
    """A `TextEmbedder` around a `Model`; `close` it. For one event loop."""

    def __init__(self, model: Model, *, max_batch: int = MAX_BATCH) -> None:
        self.name = model.name
        self.dimensions = model.dimensions
        self._model = model
        self._max_batch = max_batch
        self._jobs: deque[_Job] = deque()
        self._waiting = 0
        self._thread = ThreadPoolExecutor(1, "embedder")
        self._pump: asyncio.Task[None] | None = None

    async def embed(self, texts: Sequence[str]) -> Vectors:
        return (await self.encode(texts)).vectors

    async def encode(self, texts: Sequence[str]) -> Encoded:
        """`Overloaded` where too many texts wait already. What is cancelled before its turn is not
        computed.
        """
        import numpy as np  # noqa: PLC0415

        if not texts:
            return Encoded(np.empty((0, self.dimensions), np.float32), ())
        if self._waiting and self._waiting + len(texts) > MAX_WAITING:
            raise Overloaded("too many texts wait for the embedder", retry_after=RETRY_AFTER_S)
        job = _Job(tuple(texts), asyncio.get_running_loop().create_future())
        self._jobs.append(job)
        self._waiting += len(texts)
        if self._pump is None or self._pump.done():
            self._pump = asyncio.create_task(self._run(), name="embedder")
        return await job.done

    async def close(self) -> None:
        """Whoever still waits is cancelled."""
        for job in self._jobs:
            job.done.cancel()
        if self._pump is not None:
            self._pump.cancel()
            with suppress(asyncio.CancelledError):
                await self._pump
        await asyncio.to_thread(self._thread.shutdown, wait=True)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while shares := self._take():
            texts = [text for job, count in shares for text in _next(job, count)]
            try:
                made = await loop.run_in_executor(self._thread, self._model.encode, texts)
            except Exception as error:  # told to whoever asked
                for job, _ in shares:
                    if not job.done.done():
                        job.done.set_exception(error)
                continue
            start = 0
            for job, count in shares:
                _give(job, made, start, count)
                start += count

    def _take(self) -> list[tuple[_Job, int]]:
        """Who is served in the next run, and with how many texts: one of each in turn, until the
        run is full. Who gets nothing is the first in the next one.
        """
        turns = deque(job for job in self._jobs if job.left and not job.done.done())
        counts: Counter[_Job] = Counter()
        rest: list[_Job] = []
        room, chars = self._max_batch, MAX_CHARS
        while turns and room:
            job = turns.popleft()
            chars -= len(job.texts[job.taken + counts[job]])
            if chars < 0 and counts.total():
                turns.appendleft(job)
                break
            counts[job] += 1
            room -= 1
            (turns if counts[job] < job.left else rest).append(job)
        self._jobs = deque((*turns, *rest))
        self._waiting = sum(job.left for job in turns) - sum(counts[job] for job in turns)
        return [(job, count) for job, count in counts.items() if count]


def _next(job: _Job, count: int) -> Sequence[str]:
    texts = job.texts[job.taken : job.taken + count]
    job.taken += count
    return texts


def _give(job: _Job, made: Encoded, start: int, count: int) -> None:
    import numpy as np  # noqa: PLC0415

    end = start + count
    cut = frozenset(row - start for row in made.cut if start <= row < end)
    job.parts.append(Encoded(made.vectors[start:end], made.tokens[start:end], cut))
    if job.left or job.done.done():
        return
    vectors = np.concatenate([part.vectors for part in job.parts])
    starts = accumulate((len(part.tokens) for part in job.parts), initial=0)
    job.done.set_result(
        Encoded(
            vectors,
            tuple(n for part in job.parts for n in part.tokens),
            frozenset(
                s + row for s, part in zip(starts, job.parts, strict=False) for row in part.cut
            ),
        )
    )
