"""What the adapter does when the API fails, hangs or is not there."""

import asyncio
from contextlib import aclosing

import pytest

from serving.errors import (
    TierError,
    TierMisconfigured,
    TierProtocolError,
    TierRateLimited,
    TierRejected,
    TierTimeout,
    TierUnavailable,
)
from serving.wire.completion import Chunk
from tests.serving.hosted.fakes import (
    Scripted,
    adapter,
    answer,
    asked,
    call,
    chat,
    collect,
    emulated,
)

both = pytest.mark.parametrize("stream", [False, True])


FAULTS: list[tuple[str, type[TierError], str]] = [
    ("429", TierRateLimited, "tier_rate_limited"),
    ("529", TierUnavailable, "tier_unavailable"),
    ("500", TierUnavailable, "tier_unavailable"),
    ("spend_limit", TierMisconfigured, "spend_limit"),
    ("malformed", TierProtocolError, "tier_protocol_error"),
    ("truncated", TierProtocolError, "tier_protocol_error"),
    ("overloaded_midstream", TierUnavailable, "tier_unavailable"),
]


@both
@pytest.mark.parametrize(("fault", "error", "code"), FAULTS)
async def test_faults(stream: bool, fault: str, error: type[TierError], code: str) -> None:
    async with emulated(faults={fault: 1.0}) as url, adapter(url) as backend:
        with pytest.raises(error) as caught:
            await asked(backend, chat("Hi"), call(), stream=stream)
    assert caught.value.code == code
    assert caught.value.__cause__ is None
    if fault == "429":
        assert caught.value.retry_after == 1.0


async def test_what_came_before_an_error_in_the_midst_has_been_passed_on() -> None:
    got: list[Chunk] = []
    async with (
        emulated(Scripted(answer("one two")), faults={"overloaded_midstream": 1.0}) as url,
        adapter(url, "claude-haiku-4-5") as backend,
    ):
        with pytest.raises(TierUnavailable):
            await collect(backend, chat("Hi"), call(), got)
    assert [c.content for c in got] == ["", "on"]


@both
async def test_the_calls_deadline_holds(stream: bool) -> None:
    async with emulated(faults={"hang": 1.0}) as url, adapter(url) as backend:
        started = asyncio.get_running_loop().time()
        with pytest.raises(TierTimeout):
            await asked(backend, chat("Hi"), call(0.2), stream=stream)
        assert asyncio.get_running_loop().time() - started < 1.0


async def test_the_tiers_deadline_holds_over_a_stream_that_keeps_coming() -> None:
    backend_behind = Scripted(answer("one two three four"), delay=0.15)
    async with emulated(backend_behind) as url, adapter(url, deadline_s=0.4) as backend:
        with pytest.raises(TierTimeout):
            await collect(backend, chat("Hi"), call())
        async with asyncio.timeout(2):
            await backend_behind.closed.wait()


@both
async def test_no_attempt_begins_past_the_deadline(stream: bool) -> None:
    scripted = Scripted()
    async with emulated(scripted) as url, adapter(url) as backend:
        with pytest.raises(TierTimeout, match="no time left"):
            await asked(backend, chat("Hi"), call(-1.0), stream=stream)
    assert scripted.asked == []


@both
async def test_a_cancelled_call_stops_the_generation(stream: bool) -> None:
    scripted = Scripted(answer("one two three"), delay=5.0)
    async with emulated(scripted) as url, adapter(url) as backend:
        task = asyncio.create_task(asked(backend, chat("Hi"), call(), stream=stream))
        async with asyncio.timeout(2):
            await scripted.started.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await scripted.closed.wait()


async def test_a_stream_that_is_closed_early_stops_the_generation() -> None:
    scripted = Scripted(answer("one two three four"), delay=0.05)
    async with emulated(scripted) as url, adapter(url, "claude-haiku-4-5") as backend:
        async with aclosing(backend.stream(chat("Hi"), call())) as chunks:
            assert (await anext(chunks)).role == "assistant"
        async with asyncio.timeout(2):
            await scripted.closed.wait()


@both
async def test_a_server_that_is_not_there(stream: bool) -> None:
    async with adapter("http://127.0.0.1:9") as backend:
        with pytest.raises(TierUnavailable, match="cannot connect"):
            await asked(backend, chat("Hi"), call(), stream=stream)


@both
async def test_a_server_that_speaks_something_else(stream: bool) -> None:
    async def html(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        page = b"<html>hi</html>"
        head = f"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {len(page)}\r\n\r\n"
        writer.write(head.encode() + page)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(html, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, adapter(f"http://127.0.0.1:{port}") as backend:
        with pytest.raises(TierProtocolError):
            await asked(backend, chat("Hi"), call(), stream=stream)


async def test_a_request_over_32_mb_is_refused_by_the_tier() -> None:
    async with emulated() as url, adapter(url) as backend:
        with pytest.raises(TierRejected) as caught:
            await backend.complete(chat("x" * (33 * 1024 * 1024)), call())
    assert caught.value.code == "request_too_large"


@both
async def test_text_that_cannot_be_encoded_is_refused(stream: bool) -> None:
    async with emulated() as url, adapter(url) as backend:
        with pytest.raises(TierRejected, match="Unicode"):
            await asked(backend, chat("half a pair: \ud83d"), call(), stream=stream)


async def test_an_unknown_model_is_a_misconfigured_tier() -> None:
    async with emulated() as url, adapter(url, "claude-opus-6") as backend:
        with pytest.raises(TierMisconfigured) as caught:
            await backend.complete(chat("Hi"), call())
    assert caught.value.code == "model_not_found"
