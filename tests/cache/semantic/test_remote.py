"""The memory behind a handle: the same answers, and its absence is known at once."""

import asyncio
import pickle
from collections.abc import Generator
from typing import Any

import pytest

pytest.importorskip("faiss", reason="these tests need the extra `cache`")

from cache.semantic.remote import HandleMemory, answer
from serving.errors import TierUnavailable
from tests.cache.semantic.world import AGAIN, ASKED, World, world


class Response:
    """Of a call to a replica; all that crosses is pickled, as Ray does."""

    def __init__(self, work: "asyncio.Task[Any]") -> None:
        self._work = work
        self.cancelled = False

    def __await__(self) -> Generator[Any, None, Any]:
        return self._work.__await__()

    def cancel(self) -> None:
        self.cancelled = True
        self._work.cancel()


class Handle:
    """A deployment handle whose replica is `world.memory`."""

    def __init__(self) -> None:
        self.world: World | None = None
        self.asked: list[str] = []
        self.running = 1

    def options(self, **options: Any) -> "Handle":
        assert options["method_name"] == "ask"
        return self

    def remote(self, *args: Any) -> Response:
        self.asked.append(args[0])
        return Response(asyncio.create_task(self._answer(pickle.dumps(args))))

    async def _answer(self, args: bytes) -> Any:
        assert self.world is not None
        found = await answer(self.world.memory, *pickle.loads(args))
        return pickle.loads(pickle.dumps(found))

    @property
    def _router(self) -> Any:
        return self

    @property
    def _asyncio_router(self) -> Any:
        return self

    def running_replicas_populated(self) -> bool:
        return self.running > 0

    @property
    def request_router(self) -> Any:
        return type("Router", (), {"curr_replicas": list(range(self.running))})


async def followers(memory: HandleMemory, flight: str, count: int) -> None:
    """Waits until the replica knows of so many."""
    async with asyncio.timeout(5):
        while await memory.tend(flight) != count:
            pass


async def test_it_answers_as_in_one_process() -> None:
    handle = Handle()
    async with world(memory=HandleMemory(handle)) as w:
        handle.world = w
        first, _ = await w.ask(ASKED)
        again, call = await w.ask(AGAIN)
        assert call.trace.cache == "semantic"
        assert again.first.content == first.first.content
        assert w.inner.asked == 1
        w.cached.evict("r1")
        await w.settled()
        _, call = await w.ask(AGAIN)
        assert call.trace.cache == "miss"
        assert set(handle.asked) == {"look_up", "land", "offer", "evict"}


async def test_without_a_replica_nobody_waits() -> None:
    handle = Handle()
    memory = HandleMemory(handle)
    assert memory.started
    handle.running = 0
    with pytest.raises(TierUnavailable):
        await memory.evict("r1")
    assert handle.asked == []
    async with world(memory=memory) as w:
        _, call = await w.ask(ASKED)
        assert [d.decision for d in call.trace.decisions] == ["failed"]


async def test_who_leaves_is_not_waited_for() -> None:
    handle = Handle()
    async with world(memory=HandleMemory(handle)) as w:
        handle.world = w
        memory = HandleMemory(handle)
        flight, _ = w.memory._flights.join("k")
        follower = asyncio.create_task(memory.follow(flight))
        await followers(memory, flight, 1)
        follower.cancel()
        await asyncio.wait((follower,))
        await followers(memory, flight, 0)


async def test_only_its_methods_can_be_asked() -> None:
    async with world() as w:
        with pytest.raises(ValueError, match="no method"):
            await answer(w.memory, "__class__", None)
