"""The lines that this worker answers right now."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial

import orjson
import structlog

from serving.batch.commits import Commits
from serving.batch.files import FileStore
from serving.batch.hosted.parking import Stay
from serving.batch.hosted.values import LateResult
from serving.batch.hosted.work import Hosted
from serving.batch.jsonl import read_line
from serving.batch.leases import Ended, Leases
from serving.batch.tally import ZERO
from serving.batch.values import ClaimedLine, Clock, LineAnswer, LineDesk, Parked
from serving.batch.wire import line_result
from serving.settings.batch import BatchSettings

MAX_CLAIMS = 30
"""A line that so many workers took and none ended has probably ended them."""
MAX_RETRY_S = 600.0
AGAIN_S = 1.0

_log = structlog.get_logger("stepwell.batch")


class Answering:
    """A line holds its place until what became of it is written. `ended` is called then."""

    def __init__(
        self,
        leases: Leases,
        files: FileStore,
        desk: LineDesk,
        settings: BatchSettings,
        clock: Clock,
        *,
        ended: Callable[[], None],
        hosted: Hosted | None = None,
    ) -> None:
        self._hosted = hosted or Hosted({})
        self._leases = leases
        self._files = files
        self._desk = desk
        self._settings = settings
        self._clock = clock
        self._ended = ended
        self._commits: Commits[Ended | Stay] = Commits(self._finish)
        self._tasks: dict[asyncio.Task[None], ClaimedLine] = {}

    def __len__(self) -> int:
        return len(self._tasks)

    @property
    def held(self) -> set[tuple[str, int]]:
        """The lines in hand, by batch and number."""
        return {(line.batch.id, line.number) for line in self._tasks.values()}

    @property
    def batch_ids(self) -> set[str]:
        return {line.batch.id for line in self._tasks.values()}

    def begin(self, line: ClaimedLine) -> None:
        task = asyncio.create_task(self._run(line))
        self._tasks[task] = line
        task.add_done_callback(self._gone)

    async def only(self, batch_ids: Collection[str]) -> None:
        """Gives back the lines of all other batches, which were cancelled or are over."""
        await self._give_back([t for t, x in self._tasks.items() if x.batch.id not in batch_ids])

    async def close(self, drain_s: float) -> None:
        if self._tasks and drain_s > 0:
            await asyncio.wait(list(self._tasks), timeout=drain_s)
        await self._give_back(list(self._tasks))

    async def _give_back(self, tasks: Collection[asyncio.Task[None]]) -> None:
        if not tasks:
            return
        lines = [self._tasks[task] for task in tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._commits.idle()  # an answer in hand is not lost
        await self._leases.put_back(lines)

    def _gone(self, task: asyncio.Task[None]) -> None:
        del self._tasks[task]
        self._ended()

    async def _run(self, line: ClaimedLine) -> None:
        try:
            found = await self._answer(line)
            if isinstance(found, Stay):
                if found.parked.unused:
                    await self._book(line)
                await _surely(lambda: self._commits.put(found))
            else:
                await self._end(line, found)
        except Exception:  # it must not stay this worker's for ever
            _log.exception("batch_line_failed", batch=line.batch.id, line=line.number)
            due = self._clock() + timedelta(seconds=self._settings.retry_s)
            await _surely(lambda: self._leases.put_back([line], not_before=due))

    async def _finish(self, ended: Sequence[Ended | Stay]) -> None:
        """What results of hosted batches cost must not be lost with what is not written yet."""
        if any(one.line.resumed is not None and one.line.resumed.result for one in ended):
            await self._hosted.flush()
        await self._leases.finish(ended)

    async def _end(self, line: ClaimedLine, answer: LineAnswer) -> None:
        if answer.retry and line.failures + 1 < self._settings.max_tries:
            wait = max(self._settings.retry_s * 2**line.failures, answer.retry_after or 0.0)
            due = self._clock() + timedelta(seconds=min(wait, MAX_RETRY_S))
            await _surely(lambda: self._leases.put_back([line], not_before=due))
            return
        if answer.unused:
            await self._book(line)
        batch = line.batch.id
        ended = Ended(line, answer, line_result(batch, line.number, line.custom_id, answer))
        await _surely(lambda: self._commits.put(ended))

    async def _book(self, line: ClaimedLine) -> None:
        """What the line went on with, and what nobody has used: it is paid for."""
        resumed, batch = line.resumed, line.batch
        if resumed is None or resumed.result is None:
            return
        named = (resumed.tier, resumed.request_id, resumed.turn)
        late = LateResult(batch.tenant, batch.key_id, *named, resumed.result)
        await _surely(lambda: self._hosted.book(late))

    async def _answer(self, line: ClaimedLine) -> LineAnswer | Stay:
        if line.claims > MAX_CLAIMS:
            return _lost("worker_lost", "The workers that took this request did not survive it.")
        batch = line.batch
        try:
            data = await self._data(line)
        except OSError:
            _log.exception("batch_file_unreadable", batch=batch.id, line=line.number)
            return _lost("file_unreadable", "The input file could not be read.", retry=True)
        if data is None:
            return _lost("response_deleted", "The response was deleted.")
        left = (batch.expires_at - self._clock()).total_seconds()
        deadline_s = min(self._settings.line_deadline_s, left)
        parks = self._hosted.parks(batch, self._clock, self._settings) - line.vain
        ask = partial(
            self._desk.answer, data, batch.endpoint, batch.asked_by, deadline_s=deadline_s
        )
        answer = await ask(parks=parks, resumed=line.resumed)
        while isinstance(answer, Parked):
            stay = await self._hosted.stay(line, answer, self._clock())
            if isinstance(stay, Stay):
                return stay
            parks -= {answer.tier}
            unused, answer = answer.unused, await ask(parks=parks, resumed=stay)
            answer = replace(answer, unused=unused)
        return answer

    async def _data(self, line: ClaimedLine) -> bytes | None:
        if line.batch.hidden:
            return await self._leases.hidden_line(line.batch)
        path = self._files.path(line.batch.input_file_id)
        return await asyncio.to_thread(read_line, path, line.offset, line.length)


async def _surely(write: Callable[[], Awaitable[None]]) -> None:
    """An answer may have cost money: while the database is away, it waits for it."""
    while True:
        try:
            await write()
        except Exception as error:
            _log.warning("batch_line_not_written", error=type(error).__name__)
            await asyncio.sleep(AGAIN_S)
        else:
            return


def _lost(code: str, message: str, *, retry: bool = False) -> LineAnswer:
    error = {"message": message, "type": "api_error", "param": None, "code": code}
    return LineAnswer(
        500, "", orjson.dumps({"error": error}), cost_usd=ZERO, retry=retry, unused=True
    )
