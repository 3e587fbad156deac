"""What is logged about a request, and what never is."""

from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from starlette.requests import Request
from structlog.testing import LogCapture

from serving.errors import ConfigError, TierMisconfigured
from tests.serving.api.scripted import Scripted
from tests.serving.api.server import chat, serving


@pytest.fixture
def lines() -> Iterator[list[dict[str, Any]]]:
    capture = LogCapture()
    before = structlog.get_config()
    structlog.configure(processors=[capture])
    yield capture.entries  # type: ignore[misc]  # EventDicts are such dicts
    structlog.configure(**before)


async def test_one_line_per_request(lines: list[dict[str, Any]]) -> None:
    async with serving(Scripted()) as server:
        response = await server.post(
            json=chat("a secret", stream=True), headers={"x-client-request-id": "mine" * 99}
        )
    (line,) = lines
    ms, ttft, client = line.pop("ms"), line.pop("ttft_ms"), line.pop("client_request_id")
    assert 0 < ttft <= ms
    assert len(client) == 128
    assert line == {
        "event": "request",
        "log_level": "info",
        "request_id": response.headers["x-request-id"],
        "method": "POST",
        "endpoint": "/v1/chat/completions",
        "status": 200,
        "tenant": "default",
        "model": "auto",
        "stream": True,
        "tier": "small",
        "cache": "off",
        "cost_usd": "0.0000012",
        "escalations": 0,
        "simulated": True,
    }


async def test_probes_are_quiet(lines: list[dict[str, Any]]) -> None:
    async with serving(Scripted()) as server:
        await server.get("/health")
    assert [line["log_level"] for line in lines] == ["debug"]


async def test_an_unforeseen_error_is_logged_with_its_place_not_its_message(
    lines: list[dict[str, Any]],
) -> None:
    async with serving(Scripted(steps=[ValueError("a secret")])) as server:
        response = await server.post(json=chat("a secret"))
    error, line = lines
    assert error["event"] == "unexpected_error"
    assert error["request_id"] == response.headers["x-request-id"]
    assert error["where"][0] == "ValueError"
    assert any("scripted.py" in place for place in error["where"])
    assert line["error"] == "internal_error"
    assert "secret" not in str(lines)
    assert "secret" not in response.text


@pytest.mark.parametrize(
    ("raised", "event"),
    [(TierMisconfigured("no key"), "tier_misconfigured"), (ConfigError("x"), "unexpected_error")],
)
async def test_the_operators_faults_are_the_operators(
    raised: Exception, event: str, lines: list[dict[str, Any]]
) -> None:
    async with serving(Scripted(steps=[raised])) as server:
        response = await server.post(json=chat())
    assert lines[0]["event"] == event
    assert response.status_code in {500, 502}
    assert str(raised) not in response.json()["error"]["message"].split()


async def test_a_refusal_is_logged_too(lines: list[dict[str, Any]]) -> None:
    async with serving(Scripted()) as server:
        await server.post(json={"model": "x" * 500})
    (line,) = lines
    assert line["status"] == 400
    assert line["error"] == "missing_required_parameter"
    assert len(line["model"]) == 128


async def test_routes_of_the_frameworks_own_making_err_alike() -> None:
    """A later endpoint may let FastAPI check its parameters."""
    async with serving(Scripted()) as server:

        async def typed(count: int) -> int:
            return count

        async def broken(request: Request) -> None:
            raise RuntimeError("a secret")

        server.app.add_api_route("/typed", typed)
        server.app.add_api_route("/broken", broken)
        wrong = await server.get("/typed?count=many")
        failed = await server.get("/broken")
    assert (wrong.status_code, failed.status_code) == (400, 500)
    assert wrong.json()["error"]["type"] == "invalid_request_error"
    assert "secret" not in failed.text
    assert failed.headers["x-request-id"] in failed.text
