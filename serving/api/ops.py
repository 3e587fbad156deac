"""GET /health, /ready and /metrics, for who operates Stepwell."""

import asyncio
from collections.abc import Mapping

import structlog
from starlette.requests import Request
from starlette.responses import Response

from serving.api.chat import Endpoint
from serving.api.desk import Desk, json_response
from serving.api.exchange import Exchange

READY_TIMEOUT_S = 5.0


def health_endpoint(desk: Desk) -> Endpoint:  # noqa: ARG001  # endpoints are made alike
    """Alive: the process answers, whatever it can do. Restarting it is for when it does not."""

    async def health(request: Request) -> Response:  # noqa: ARG001  # nothing of it matters
        return json_response({"status": "ok"})

    return health


def ready_endpoint(desk: Desk) -> Endpoint:
    """Ready: 200 where every part says "ok", else 503 with what each of them says."""

    async def ready(request: Request) -> Response:  # noqa: ARG001  # nothing of it matters
        parts = await _parts(desk)
        if not desk.doors.open:
            parts = {**parts, "api": "draining"}
        good = all(state == "ok" for state in parts.values())
        body = {"status": "ready" if good else "unready", "parts": dict(parts)}
        return json_response(body, 200 if good else 503)

    return ready


def metrics_endpoint(desk: Desk) -> Endpoint:
    """Prometheus metrics. With keys configured, a scraper needs one with the scope `metrics`."""

    async def metrics(request: Request) -> Response:
        caller = desk.keyring.identify(request.headers)
        Exchange.of(request.scope).caller = caller
        caller.require("metrics")
        accept = request.headers.get("accept", "")
        body, content_type = await asyncio.to_thread(desk.service.metrics.render, accept)
        return Response(body, headers={"content-type": content_type})

    return metrics


async def _parts(desk: Desk) -> Mapping[str, str]:
    """A check that fails or hangs is no reason for a probe to fail or hang; it is its result."""
    try:
        async with asyncio.timeout(READY_TIMEOUT_S):
            return await desk.service.ready()
    except TimeoutError:
        return {"check": "timed out"}
    except Exception as error:
        name = type(error).__qualname__
        structlog.get_logger("stepwell.api").error("ready_check_failed", error=name)
        return {"check": f"failed: {name}"}
