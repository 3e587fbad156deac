"""Critical requests are kept in full, whatever becomes of them."""

import asyncio

import pytest

from router.audit import Audited
from router.live import CascadeBackend
from serving.backend import Call
from serving.errors import NoTierAnswered, TierMisconfigured, TierUnavailable
from serving.wire.chat import ChatRequest
from serving.wire.completion import Completion
from tests.router.fakes import (
    GATE,
    LONG,
    Ladder,
    Reply,
    make_call,
    make_request,
    make_task,
    one_task,
    read,
    text_of,
)

Record = tuple[Call, ChatRequest, Completion | None]


class Log:
    def __init__(self, *, broken: bool = False) -> None:
        self.kept: list[Record] = []
        self._broken = broken

    async def add(self, call: Call, request: ChatRequest, completion: Completion | None) -> None:
        await asyncio.sleep(0)
        if self._broken:
            raise OSError("disk full")
        self.kept.append((call, request, completion))


def audited(reply: Reply, log: Log, *, critical: bool = True) -> Audited:
    ladder = Ladder().add("small", gate=GATE).add("top", reply, retries=0)
    tasks = one_task(make_task(critical=critical, start=None if critical else "top"))
    return Audited(CascadeBackend(ladder.rungs, tasks=tasks), tasks=tasks, log=log)


async def test_request_answer_and_trace_are_kept() -> None:
    log, call, request = Log(), make_call(), make_request("Wire 10,000.")
    answer = await audited(Reply("done"), log).complete(request, call)
    [(kept_call, kept_request, kept_answer)] = log.kept
    assert (kept_request, kept_answer) == (request, answer)
    assert kept_call.trace.tier == "top"
    assert kept_call.trace.attempts[0].outcome == "accepted"


async def test_other_tasks_are_not_kept() -> None:
    log = Log()
    await audited(Reply("done"), log, critical=False).complete(make_request(), make_call())
    backend = audited(Reply("done"), log, critical=False)
    await read(backend.stream(make_request(stream=True), make_call()))
    assert log.kept == []


async def test_a_stream_is_kept_before_its_last_chunk() -> None:
    log = Log()
    chunks = []
    async for chunk in audited(Reply(LONG), log).stream(make_request(stream=True), make_call()):
        assert (len(log.kept) == 1) == (chunk.usage is not None)
        chunks.append(chunk)
    assert text_of(chunks) == LONG
    kept = log.kept[0][2]
    assert kept is not None
    assert kept.first.content == LONG + " "
    assert kept.usage.completion_tokens == len(LONG.split())


async def test_failures_are_kept_with_what_had_arrived() -> None:
    log = Log()
    with pytest.raises(NoTierAnswered):
        await audited(Reply(error=TierMisconfigured("x")), log).complete(
            make_request(), make_call()
        )
    assert log.kept[0][2] is None
    broken = audited(Reply(LONG, error=TierUnavailable("gone"), error_after=2), log)
    with pytest.raises(TierUnavailable):
        await read(broken.stream(make_request(stream=True), make_call()))
    kept = log.kept[1][2]
    assert kept is not None
    assert kept.first.content == "number1 number2 "


async def test_a_client_that_leaves_is_kept_too() -> None:
    log = Log()
    chunks = audited(Reply(LONG), log).stream(make_request(stream=True), make_call())
    await anext(chunks)
    await anext(chunks)
    await chunks.aclose()
    assert len(log.kept) == 1
    waiting = audited(Reply(hang=True), log).complete(make_request(), make_call())
    task = asyncio.create_task(waiting)
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert log.kept[1][2] is None
    assert log.kept[1][0].trace.attempts[0].outcome == "cancelled"


async def test_an_answer_that_cannot_be_recorded_is_not_given() -> None:
    with pytest.raises(OSError, match="disk full"):
        await audited(Reply("done"), Log(broken=True)).complete(make_request(), make_call())
