"""The application as a whole: routes that are none, start, drain, end."""

import asyncio
import socket

import httpx2
import pytest
import uvicorn

from serving.api.app import create_app
from tests.serving.api.scripted import Scripted
from tests.serving.api.server import chat, service, serving


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/images", "/v1/models/", "/docs"])
async def test_unknown_urls(path: str) -> None:
    async with serving(Scripted()) as server:
        response = await server.get(path)
    assert response.status_code == 404
    assert response.json()["error"]["type"] == "invalid_request_error"
    assert response.headers["x-request-id"].startswith("req_")


async def test_wrong_methods() -> None:
    async with serving(Scripted()) as server:
        response = await server.get("/v1/chat/completions")
    assert response.status_code == 405
    assert response.headers["allow"] == "POST"
    assert response.json()["error"]["code"] == "method_not_allowed"


async def test_draining_refuses_the_new_and_finishes_the_old() -> None:
    hold = asyncio.Event()
    backend = Scripted(steps=["Hello", hold, " world"])
    async with serving(backend) as server:
        old = asyncio.create_task(server.post(json=chat(stream=True)))
        await backend.started.wait()
        server.app.state.desk.doors.close()
        new = await server.post(json=chat())
        hold.set()
        finished = await old
    assert new.status_code == 503
    assert new.json()["error"]["code"] == "draining"
    assert new.headers["retry-after"] == "2"
    assert new.headers["connection"] == "close"
    assert finished.text.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize("patient", [True, False])
async def test_the_end_waits_for_the_last_request_as_long_as_it_may(patient: bool) -> None:
    """uvicorn's own server, start to end."""
    order: list[str] = []
    backend = Scripted(steps=[0.15 if patient else 5.0, "done"])

    async def started() -> None:
        order.append("startup")

    async def ended() -> None:
        order.append(f"shutdown, {backend.running} running")

    app = create_app(
        service(
            backend,
            startup=started,
            shutdown=ended,
            server={"drain_s": 2 if patient else 0.1},
        )
    )
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    config = uvicorn.Config(app, ws="none", log_config=None, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve(sockets=[listener]))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1/chat/completions"
    async with httpx2.AsyncClient(timeout=10) as http:
        asking = asyncio.create_task(http.post(url, json=chat()))
        await asyncio.wait_for(backend.started.wait(), 5)
        server.should_exit = True
        answer = await asking
        await running
    if patient:
        assert answer.status_code == 200
    else:
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "draining"
    assert order == ["startup", "shutdown, 0 running"]
