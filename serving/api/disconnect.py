"""The client that leaves: its work stops at once."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.types import Receive

T = TypeVar("T")


class ClientGone(Exception):
    """The client closed its connection; nobody is left to be told anything."""


async def until_gone(receive: Receive) -> None:
    """Returns when the client has left. The body must have been read."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`; when the client leaves first, `work` is cancelled, waited for, and
    `ClientGone` raised.
    """
    task = asyncio.create_task(work)
    watch = asyncio.create_task(until_gone(receive))
    try:
        await asyncio.wait((task, watch), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientGone
    finally:
        await stop(task, watch)


async def stop(*tasks: "asyncio.Task[Any]") -> None:
    """Cancels the tasks and waits until they have ended; how they ended is theirs to have told."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
