import asyncio
import logging
import signal

import httpx2
import pytest

from serving.hosted.emulator.app import create_emulator
from serving.hosted.emulator.server import EmulatorServer
from tests.serving.hosted.fakes import OPUS, Scripted


async def test_it_serves_between_start_and_stop_and_leaves_signals_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    before = signal.getsignal(signal.SIGINT)
    caplog.set_level(logging.DEBUG, logger="uvicorn")
    server = EmulatorServer(create_emulator({OPUS: Scripted()}))
    url = await server.start()
    assert signal.getsignal(signal.SIGINT) is before
    async with httpx2.AsyncClient() as client:
        assert (await client.get(f"{url}/v1/models")).status_code == 401
        await server.stop()
        with pytest.raises(httpx2.ConnectError):
            await client.get(f"{url}/v1/models")
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


async def test_two_run_beside_each_other_and_stopping_twice_is_fine() -> None:
    servers = [EmulatorServer(create_emulator({})) for _ in range(2)]
    urls = [await s.start() for s in servers]
    assert len(set(urls)) == 2
    with pytest.raises(RuntimeError, match="already"):
        await servers[0].start()
    for server in servers:
        await server.stop()
        await server.stop()


async def test_answers_are_not_held_back_by_the_network() -> None:
    """Without TCP_NODELAY each answer would wait 40 ms for an acknowledgement."""
    server = EmulatorServer(create_emulator({}))
    url = await server.start()
    async with httpx2.AsyncClient(headers={"x-api-key": "k"}) as client:
        await client.get(f"{url}/v1/models")
        loop = asyncio.get_running_loop()
        times = []
        for _ in range(10):
            started = loop.time()
            await client.get(f"{url}/v1/models")
            times.append(loop.time() - started)
    await server.stop()
    assert min(times) < 0.030
