"""Probes and metrics."""

import asyncio
from collections.abc import Mapping

from serving.api import ops
from tests.serving.api.scripted import Scripted
from tests.serving.api.server import KEY, chat, serving
from tests.serving.api.test_auth import key


async def test_alive_and_ready() -> None:
    async with serving(Scripted()) as server:
        health, ready = await server.get("/health"), await server.get("/ready")
    assert (health.status_code, health.json()) == (200, {"status": "ok"})
    assert (ready.status_code, ready.json()) == (
        200,
        {"status": "ready", "parts": {"storage": "ok"}},
    )


async def test_a_part_that_is_not_ready_is_named() -> None:
    async def parts() -> Mapping[str, str]:
        return {"storage": "ok", "tier.large": "connection refused"}

    async with serving(Scripted(), ready=parts) as server:
        response = await server.get("/ready")
    assert response.status_code == 503
    assert response.json()["parts"]["tier.large"] == "connection refused"


async def test_a_check_that_fails_is_a_result() -> None:
    async def parts() -> Mapping[str, str]:
        raise ConnectionError("secret host name")

    async with serving(Scripted(), ready=parts) as server:
        response = await server.get("/ready")
    assert response.status_code == 503
    assert response.json()["parts"] == {"check": "failed: ConnectionError"}


async def test_a_check_that_hangs_is_cut(monkeypatch: object) -> None:
    async def parts() -> Mapping[str, str]:
        await asyncio.Event().wait()
        return {}

    timeout, ops.READY_TIMEOUT_S = ops.READY_TIMEOUT_S, 0.05
    try:
        async with serving(Scripted(), ready=parts) as server:
            response = await server.get("/ready")
    finally:
        ops.READY_TIMEOUT_S = timeout
    assert response.json()["parts"] == {"check": "timed out"}


async def test_draining_is_not_ready_but_alive() -> None:
    async with serving(Scripted()) as server:
        server.app.state.desk.doors.close()
        ready = await server.get("/ready")
        assert (await server.get("/health")).status_code == 200
        assert (await server.get("/metrics")).status_code == 200
    assert ready.status_code == 503
    assert ready.json()["parts"]["api"] == "draining"


async def test_metrics_count_what_was_answered() -> None:
    async with serving(Scripted()) as server:
        await server.post(json=chat())
        await server.post(json=chat(stream=True))
        await server.get("/no/such/path")
        response = await server.get("/metrics")
        modern = await server.get(
            "/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"}
        )
    assert response.headers["content-type"].startswith("text/plain")
    lines = response.text.splitlines()
    assert 'stepwell_requests_total{endpoint="/v1/chat/completions",status="200"} 2.0' in lines
    assert 'stepwell_requests_total{endpoint="other",status="404"} 1.0' in lines
    first = 'stepwell_time_to_first_token_seconds_count{endpoint="/v1/chat/completions"} 1.0'
    assert first in lines
    assert modern.headers["content-type"].startswith("application/openmetrics-text")


async def test_with_keys_a_scraper_needs_the_scope() -> None:
    scraper = KEY + "m"
    keys = [key(), key("scraper", scraper, scopes=["metrics"])]
    async with serving(Scripted(), keys=keys) as server:
        statuses = [
            (await server.get("/metrics", headers=headers)).status_code
            for headers in (
                {},
                {"authorization": f"Bearer {KEY}"},
                {"authorization": f"Bearer {scraper}"},
            )
        ]
        assert (await server.get("/health")).status_code == 200
        assert (await server.get("/ready")).status_code == 200
    assert statuses == [401, 403, 200]
