"""A tier in another process answers as one in this process does."""

import asyncio
import pickle
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from serving.backend import Call, ChunkStream
from serving.engines.remote.handle import HandleBackend, prefix_bucket
from serving.engines.remote.host import TierHost
from serving.engines.remote.wire import pack, unpack
from serving.errors import TierProtocolError, TierQueueFull, TierUnavailable
from serving.wire.chat import ChatRequest
from serving.wire.completion import Choice, Chunk, Completion, Usage, as_chunks

REQUEST = ChatRequest.model_validate(
    {
        "model": "m",
        "messages": [{"role": "user", "content": "Hello", "odd": 1}],
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "n", "schema": {"type": "object"}},
        },
        "unknown": {"kept": True},
    }
)
ANSWER = Completion("id", 1, "m", (Choice(content="one two three"),), Usage(3, 4))


def make_call() -> Call:
    return Call(request_id="r", tenant="acme", deadline=asyncio.get_running_loop().time() + 60)


class Tier:
    """Answers, or raises; leaves notes; `gate` holds its stream back after two chunks."""

    def __init__(self, error: Exception | None = None, gate: asyncio.Event | None = None) -> None:
        self.error = error
        self.gate = gate
        self.seen: list[ChatRequest] = []
        self.closed = 0

    async def complete(self, request: ChatRequest, call: Call) -> Completion:
        self.seen.append(request)
        call.trace.drop(("seed",))
        call.trace.note("tier", "translated", "as it was")
        if self.error is not None:
            raise self.error
        return ANSWER

    async def stream(self, request: ChatRequest, call: Call) -> ChunkStream:
        call.trace.drop(("seed",))
        try:
            for index, chunk in enumerate(as_chunks(ANSWER, pieces=3)):
                if index == 2 and self.gate is not None:
                    await self.gate.wait()
                yield chunk
            if self.error is not None:
                raise self.error
        finally:
            self.closed += 1


class Wire:
    """A handle to a host in this process; all that crosses is pickled, as it is in Ray."""

    def __init__(self, host: TierHost, **options: Any) -> None:
        self.host = host
        self.set = options
        self.batches: list[int] = []
        self.raises: Exception | None = None

    def options(self, **options: Any) -> "Wire":
        made = Wire(self.host, **{**self.set, **options})
        made.batches = self.batches
        made.raises = self.raises
        return made

    def remote(self, tier: str, asked: Any) -> Any:
        asked = pickle.loads(pickle.dumps(asked))
        if self.set.get("stream"):
            return _Batches(self, self.host.stream(tier, asked))
        return _Response(self, tier, asked)


class _Response:
    def __init__(self, wire: Wire, tier: str, asked: Any) -> None:
        self.wire = wire
        self.task = asyncio.ensure_future(wire.host.complete(tier, asked))

    def __await__(self) -> Any:
        return self._reply().__await__()

    async def _reply(self) -> Any:
        if self.wire.raises is not None:
            self.task.cancel()
            raise self.wire.raises
        return pickle.loads(pickle.dumps(await self.task))

    def cancel(self) -> None:
        self.task.cancel()


class _Batches:
    def __init__(self, wire: Wire, source: AsyncGenerator[Any, None]) -> None:
        self.wire = wire
        self.source = source
        self.cancelled: asyncio.Task[None] | None = None

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        if self.wire.raises is not None:
            raise self.wire.raises
        batch = pickle.loads(pickle.dumps(await anext(self.source)))
        self.wire.batches.append(len(batch) if isinstance(batch, tuple) else 0)
        return batch

    def cancel(self) -> None:
        self.cancelled = asyncio.ensure_future(self.source.aclose())


async def drained(backend: HandleBackend, call: Call) -> None:
    async for _ in backend.stream(REQUEST, call):
        pass


def behind(tier: Tier) -> tuple[HandleBackend, Wire]:
    wire = Wire(TierHost({"t": tier}))
    return HandleBackend(wire, "t"), wire


async def test_what_is_asked_arrives_as_it_left() -> None:
    asked, call = unpack(pickle.loads(pickle.dumps(pack(REQUEST, make_call()))))
    assert asked.wire() == REQUEST.wire()
    assert (call.request_id, call.tenant) == ("r", "acme")
    assert 50 < call.remaining <= 60


async def test_an_answer_comes_back_with_its_notes() -> None:
    tier = Tier()
    backend, _ = behind(tier)
    call = make_call()
    assert await backend.complete(REQUEST, call) == ANSWER
    assert call.trace.dropped == ["seed"]
    assert [d.stage for d in call.trace.decisions] == ["tier"]
    assert tier.seen[0].wire() == REQUEST.wire()


@pytest.mark.parametrize("streamed", [False, True])
async def test_an_error_comes_back_as_itself(streamed: bool) -> None:
    backend, _ = behind(Tier(TierQueueFull("slow down", retry_after=3, param="x")))
    call = make_call()
    asking = drained(backend, call) if streamed else backend.complete(REQUEST, call)
    with pytest.raises(TierQueueFull) as caught:
        await asking
    assert (caught.value.message, caught.value.retry_after, caught.value.param) == (
        "slow down",
        3,
        "x",
    )
    assert call.trace.dropped == ["seed"]


async def test_what_nobody_foresaw_is_a_fault_of_the_tier() -> None:
    backend, _ = behind(Tier(RuntimeError("the prompt")))
    with pytest.raises(TierUnavailable) as caught:
        await backend.complete(REQUEST, make_call())
    assert "the prompt" not in caught.value.message
    with pytest.raises(TierUnavailable) as caught:
        [chunk async for chunk in backend.stream(REQUEST, make_call())]
    assert "the prompt" not in caught.value.message


async def test_chunks_that_are_ready_together_cross_together() -> None:
    gate = asyncio.Event()
    backend, wire = behind(Tier(gate=gate))
    seen: list[Chunk] = []
    async with aclosing(backend.stream(REQUEST, make_call())) as chunks:
        seen += [await anext(chunks), await anext(chunks)]
        assert wire.batches == [2]
        gate.set()
        seen += [chunk async for chunk in chunks]
    assert seen == as_chunks(ANSWER, pieces=3)
    assert wire.batches == [2, 4, 0]


async def test_leaving_a_stream_stops_the_tier() -> None:
    tier = Tier(gate=asyncio.Event())
    backend, _ = behind(tier)
    async with aclosing(backend.stream(REQUEST, make_call())) as chunks:
        await anext(chunks)
        assert tier.closed == 0
    await asyncio.sleep(0.01)
    assert tier.closed == 1


async def test_a_full_queue_and_a_dead_replica_have_their_errors() -> None:
    class BackPressureError(Exception):
        pass

    class ActorDiedError(Exception):
        pass

    for raised, expected in (
        (BackPressureError(), TierQueueFull),
        (ActorDiedError(), TierUnavailable),
    ):
        _, wire = behind(Tier())
        wire.raises = raised
        backend = HandleBackend(wire, "t")
        with pytest.raises(expected) as caught:
            await backend.complete(REQUEST, make_call())
        assert caught.value.retry_after == (1.0 if expected is TierQueueFull else None)
        with pytest.raises(expected):
            [chunk async for chunk in backend.stream(REQUEST, make_call())]


async def test_a_stream_without_an_end_broke_off() -> None:
    backend, wire = behind(Tier())
    wire.raises = StopAsyncIteration()
    backend = HandleBackend(wire, "t")
    with pytest.raises(TierProtocolError):
        [chunk async for chunk in backend.stream(REQUEST, make_call())]


async def test_one_conversation_meets_one_replica_and_tenants_are_apart() -> None:
    call = make_call()
    longer = REQUEST.model_copy(update={"messages": [*REQUEST.messages, *REQUEST.messages]})
    assert prefix_bucket(REQUEST, call) == prefix_bucket(longer, call)
    others = {prefix_bucket(REQUEST, replace(call, tenant=f"t{i}")) for i in range(64)}
    assert len(others) > 32
    backend = HandleBackend(wire := Wire(TierHost({"t": Tier()})), "t", sticky=prefix_bucket)
    assert await backend.complete(REQUEST, call) == ANSWER
    assert wire.set == {}
