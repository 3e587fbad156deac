"""The client that leaves: its work stops at once."""

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from starlette.types import Receive

T = TypeVar("T")


class ClientGone(Exception):
    """The client closed its connection; nobody is left to be told anything."""


async def until_gone(receive: Receive) -> None:
    """Returns when the client has left. The body must have been read."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def unless_gone(receive: Receive, work: Awaitable[T]) -> T:
    """The result of `work`; when the client leaves first, `work` is cancelled and, once it has
    ended, `ClientGone` raised. It runs in the caller's own task, as under `asyncio.timeout`.
    """
    task = asyncio.current_task()
    assert task is not None
    before = task.cancelling()
    gone = False

    def cancel(watch: "asyncio.Task[None]") -> None:
        nonlocal gone
        if not watch.cancelled() and watch.exception() is None:
            gone = True
            task.cancel()

    watch = asyncio.create_task(until_gone(receive))
    watch.add_done_callback(cancel)
    try:
        return await work
    except asyncio.CancelledError:
        if gone and task.cancelling() <= before + 1:  # nobody else cancelled it too
            raise ClientGone from None
        raise
    finally:
        if gone:
            task.uncancel()
        watch.remove_done_callback(cancel)
        watch.cancel()


async def stop(*tasks: "asyncio.Task[Any]") -> None:
    """Cancels the tasks and waits until they have ended; how they ended is theirs to have told."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
