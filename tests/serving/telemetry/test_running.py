"""Calls in progress are counted, whatever ends them."""

import asyncio
import time
from contextlib import aclosing

import pytest
from prometheus_client import CollectorRegistry, Gauge

from serving.backend import Call, ChunkStream
from serving.telemetry.running import Running, RunningEmbedder
from serving.wire.chat import ChatRequest
from serving.wire.completion import Choice, Completion, Usage, as_chunks
from tests.serving.engines.embedders import Embeds, asking, wanted

REQUEST = ChatRequest.model_validate({"model": "m", "messages": [{"role": "user", "content": "x"}]})
ANSWER = Completion("id", 1, "m", (Choice(content="yes"),), Usage(1, 1))


class Tier:
    def __init__(self, wait: bool = False) -> None:
        self.wait = wait

    async def complete(self, request: ChatRequest, call: Call) -> Completion:
        if self.wait:
            await asyncio.sleep(10)
        return ANSWER

    async def stream(self, request: ChatRequest, call: Call) -> ChunkStream:
        for chunk in as_chunks(ANSWER):
            yield chunk


def counted(tier: Tier) -> tuple[Running, Gauge]:
    gauge = Gauge("running", "calls", registry=CollectorRegistry())
    return Running(tier, gauge), gauge


def value(gauge: Gauge) -> float:
    return next(iter(gauge.collect())).samples[0].value


def make_call() -> Call:
    return Call(request_id="r", tenant="t", deadline=time.monotonic() + 60)


async def test_a_call_counts_until_it_is_cancelled() -> None:
    backend, gauge = counted(Tier(wait=True))
    task = asyncio.create_task(backend.complete(REQUEST, make_call()))
    await asyncio.sleep(0.01)
    assert value(gauge) == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert value(gauge) == 0


async def test_a_stream_counts_until_it_is_closed() -> None:
    backend, gauge = counted(Tier())
    async with aclosing(backend.stream(REQUEST, make_call())) as chunks:
        await anext(chunks)
        assert value(gauge) == 1
    assert value(gauge) == 0
    assert [c async for c in backend.stream(REQUEST, make_call())] == as_chunks(ANSWER)
    assert value(gauge) == 0


async def test_calls_of_an_embedder() -> None:
    gauge = Gauge("running", "calls", registry=CollectorRegistry())
    inner = Embeds(hang=True)
    task = asyncio.create_task(RunningEmbedder(inner, gauge).embed(wanted(), asking()))
    await inner.called.wait()
    assert value(gauge) == 1
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert value(gauge) == 0
