"""When a stream's bytes leave, and what happens to it when nobody reads them."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2

from serving.wire.completion import Chunk
from tests.serving.api.scripted import HEAD, Scripted
from tests.serving.api.server import Server, chat, serving


def streamed(**more: Any) -> dict[str, Any]:
    return chat(stream=True, **more)


@asynccontextmanager
async def opened(server: Server, **more: Any) -> AsyncIterator[httpx2.Response]:
    async with (
        httpx2.AsyncClient(base_url=server.url, timeout=10) as http,
        http.stream("POST", "/v1/chat/completions", json=streamed(**more)) as response,
    ):
        yield response


async def test_a_held_stream_beats_and_then_answers() -> None:
    answered = asyncio.Event()
    backend = Scripted(steps=[answered, "late"])
    async with serving(backend, stream={"hold_s": 0.1, "heartbeat_s": 0.1}) as server:
        began = time.monotonic()
        async with opened(server) as response:  # its head comes while there is no answer
            assert time.monotonic() - began > 0.08
            pieces = response.aiter_text()
            text = await anext(pieces)
            while text.count(": heartbeat") < 2:
                text += await anext(pieces)
            answered.set()
            async for piece in pieces:
                text += piece
    opening, role, *beats_and_rest = text.split("\n\n")
    assert '"role":"assistant"' in opening
    assert role == ": heartbeat"
    assert beats_and_rest[0] == ": heartbeat"
    assert "late" in text
    assert text.endswith("data: [DONE]\n\n")


async def test_heartbeats_go_on_where_a_tier_opens_no_choice() -> None:
    class Silent(Scripted):
        async def stream(self, request: Any, call: Any) -> Any:
            await asyncio.sleep(0.2)
            async for chunk in super().stream(request, call):
                yield chunk

    async with serving(Silent(), stream={"hold_s": 0.05, "heartbeat_s": 0.05}) as server:
        response = await server.post(json=streamed())
    assert response.text.startswith(": heartbeat\n\n: heartbeat\n\n")
    assert "Hello" in response.text


async def test_a_stream_that_never_speaks_ends_at_its_deadline() -> None:
    backend = Scripted(steps=[asyncio.Event()])
    async with serving(backend) as server:
        response = await server.post(json=streamed(stepwell={"deadline_ms": 1}))
    assert response.status_code == 504
    assert backend.running == 0


async def test_a_client_that_leaves_stops_the_generation_at_once() -> None:
    backend = Scripted(steps=["Hello", asyncio.Event()])
    async with serving(backend) as server:
        async with opened(server) as response:
            await anext(response.aiter_bytes())
            assert backend.running == 1
        await asyncio.wait_for(backend.stopped.wait(), 2)
        metrics = (await server.get("/metrics")).text
    assert backend.running == 0
    assert 'stepwell_stream_errors_total{code="client_gone"} 1.0' in metrics
    assert "stepwell_requests_in_flight 1.0" in metrics  # the scrape itself


async def test_a_client_that_leaves_while_held_stops_it_too() -> None:
    backend = Scripted(steps=[asyncio.Event()])
    async with serving(backend) as server:
        asking = asyncio.create_task(server.post(json=streamed()))
        await backend.started.wait()
        asking.cancel()
        await asyncio.wait_for(backend.stopped.wait(), 2)
    assert backend.running == 0


async def test_a_client_that_does_not_read_holds_the_tier_up() -> None:
    """Chunks must not pile up in memory for a client that is slower than the tier."""
    pulled = 0

    class Endless(Scripted):
        async def stream(self, request: Any, call: Any) -> Any:
            nonlocal pulled
            async for chunk in super().stream(request, call):
                yield chunk
                while True:
                    pulled += 1
                    yield Chunk(HEAD.id, HEAD.created, HEAD.model, content="x" * 10_000)

    async with serving(Endless()) as server:
        async with opened(server):
            before = -1
            while before != pulled:
                before = pulled
                await asyncio.sleep(0.1)
        assert 0 < pulled < 2_500  # what fits into sockets and one mailbox


async def test_tokens_that_are_ready_leave_together_and_none_waits() -> None:
    backend = Scripted(steps=["a", "b", "c", 0.1, "d", 0.3])
    async with serving(backend) as server, opened(server) as response:
        arrived = [(time.monotonic(), part) async for part in response.aiter_bytes()]
    assert b'"a"' in arrived[0][1]
    assert b'"c"' in arrived[0][1]
    assert b'"d"' in arrived[1][1]
    assert arrived[2][0] - arrived[1][0] > 0.2  # "d" did not wait for the end
