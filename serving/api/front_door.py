"""Around every request: its id, its headers, its last resort, its line in the log."""

import asyncio
from collections.abc import Mapping
from typing import Any

import structlog
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.api.chat import Endpoint
from serving.api.desk import Desk, error_response
from serving.api.disconnect import ClientGone
from serving.api.errors import client_error
from serving.api.exchange import Exchange
from serving.api.figures import money
from serving.api.headers import encode, figure_headers
from serving.errors import Overloaded

OPERATORS = frozenset({"/health", "/ready", "/metrics"})
CLIENT_GONE = 499
RETRY_AFTER_S = 2.0


class FrontDoor:
    """Pure ASGI, outermost. Every HTTP response, errors included, leaves through it. `direct` has
    the endpoints that it asks itself, by method and path; all others are `app`'s.
    """

    def __init__(
        self, app: ASGIApp, desk: Desk, direct: Mapping[tuple[str, str], Endpoint]
    ) -> None:
        self._app = app
        self._desk = desk
        self._direct = dict(direct)
        self._log: Any = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = Exchange.begin(scope)
        scope.setdefault("state", {})["exchange"] = exchange

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                headers = [*message.get("headers", ()), *encode(_added(exchange))]
                message = {**message, "headers": headers}
            await send(message)

        with self._desk.doors, self._desk.service.metrics.in_flight.track_inprogress():
            try:
                await self._pass(exchange, scope, receive, sending)
            except ClientGone:
                exchange.error = "client_gone"
            except asyncio.CancelledError:  # the server's patience with its drain is over
                if exchange.status is None:
                    await error_response(_closing(), exchange)(scope, receive, sending)
                exchange.error = exchange.error or "cancelled"
                raise
            except Exception as error:
                await self._fail(error, exchange, scope, receive, sending)
            finally:
                exchange.slot.close()
                self._record(exchange)

    async def _pass(self, exchange: Exchange, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._desk.doors.open and exchange.endpoint not in OPERATORS:
            exchange.headers["connection"] = "close"
            raise _closing()
        endpoint = self._direct.get((scope["method"], scope["path"]))
        if endpoint is None:
            await self._app(scope, receive, send)
        else:
            response = await endpoint(Request(scope, receive, send))
            await response(scope, receive, send)

    async def _fail(
        self, error: Exception, exchange: Exchange, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """A response that has begun cannot become another; its connection is cut by the server."""
        if exchange.status is None:
            await error_response(error, exchange)(scope, receive, send)
        else:
            exchange.error = client_error(error, exchange).code

    def _record(self, exchange: Exchange) -> None:
        if exchange.status is None:
            exchange.status = CLIENT_GONE
        self._desk.service.metrics.observe_request(
            exchange.endpoint,
            exchange.status,
            exchange.seconds,
            first_token_seconds=exchange.first_token_seconds,
            traces=exchange.traces,
            stream_error=exchange.error if exchange.stream and exchange.status == 200 else None,
        )
        if self._log is None:  # bound once logging is configured; binding takes longer than a line
            self._log = structlog.get_logger("stepwell.access").bind()
        line = exchange.log_line() | _costs(exchange)
        if exchange.endpoint in OPERATORS:
            self._log.debug("request", **line)
        else:
            self._log.info("request", **line)


def _closing() -> Overloaded:
    return Overloaded("This server is shutting down.", code="draining", retry_after=RETRY_AFTER_S)


def _added(exchange: Exchange) -> dict[str, str]:
    headers = {"x-request-id": exchange.request_id, **exchange.headers}
    if exchange.traces:
        final = not (exchange.stream and exchange.status == 200)
        headers |= figure_headers(exchange.figures, final=final)
    return headers


def _costs(exchange: Exchange) -> dict[str, Any]:
    if not exchange.traces:
        return {}
    figures = exchange.figures
    costs = {
        "tier": figures.tier,
        "cache": figures.cache,
        "cost_usd": money(figures.cost_usd),
        "escalations": figures.escalations,
        "best_effort": figures.best_effort is not None or None,
        "simulated": figures.simulated or None,
    }
    return {key: value for key, value in costs.items() if value is not None}
