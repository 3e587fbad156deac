"""Whole answers from the backend: one per call, all or none."""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import TypeVar

from starlette.types import Receive

from serving.api.disconnect import stop, unless_gone
from serving.api.eager import Begun
from serving.api.streaming import GRACE_S
from serving.backend import Backend, Call
from serving.errors import DeadlineExceeded
from serving.wire.chat import ChatRequest
from serving.wire.completion import Completion

T = TypeVar("T")
Job = tuple[ChatRequest, Call]


async def answers(backend: Backend, jobs: Sequence[Job], receive: Receive) -> list[Completion]:
    """In the order of the jobs, which run side by side. Where one fails the others are cancelled
    and its error raised; where the client leaves, all are and `ClientGone` is.
    """
    if len(jobs) == 1:
        request, call = jobs[0]
        begun = Begun(backend.complete(request, call))
        if begun.done:
            return [begun.result]
        return [await unless_gone(receive, in_time(begun, call))]
    return await unless_gone(receive, _together(backend, jobs))


async def _together(backend: Backend, jobs: Sequence[Job]) -> list[Completion]:
    tasks = [asyncio.create_task(in_time(backend.complete(r, c), c)) for r, c in jobs]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        await stop(*tasks)


async def in_time(work: Awaitable[T], call: Call) -> T:
    """A backend ends at its deadline by itself; here stands the net under one that does not."""
    net = asyncio.timeout(call.remaining + GRACE_S)
    try:
        async with net:
            return await work
    except TimeoutError:
        if net.expired():
            raise DeadlineExceeded("No answer came before the deadline.") from None
        raise
