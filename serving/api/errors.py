"""The one place that turns an exception into what a client sees: OpenAI's error body."""

import traceback
from math import ceil
from typing import Any

import structlog
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from serving.api.exchange import Exchange
from serving.api.figures import trace_wire
from serving.errors import (
    ClientError,
    ConfigError,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    StepwellError,
    TierMisconfigured,
)

MAX_PLACES = 100
INTERNAL = "Stepwell failed to process this request. Its operator finds more in the log under {}."
MISCONFIGURED = "A tier is misconfigured. Stepwell's operator finds more in the log under {}."


class Internal(StepwellError):
    """Something that nobody foresaw; the client learns no more than that."""

    code = "internal_error"


def client_error(error: Exception, exchange: Exchange) -> StepwellError:
    """What the client may know of `error`. What it may not is logged, and only here."""
    if isinstance(error, HTTPException):
        return _routing(error, exchange)
    if isinstance(error, RequestValidationError):
        return InvalidRequest("The request is invalid.")
    if isinstance(error, TierMisconfigured):
        _log().error("tier_misconfigured", request_id=exchange.request_id, reason=error.message)
        return TierMisconfigured(MISCONFIGURED.format(exchange.request_id))
    if isinstance(error, StepwellError) and not isinstance(error, ConfigError):
        return error
    _log().error("unexpected_error", request_id=exchange.request_id, where=_where(error))
    return Internal(INTERNAL.format(exchange.request_id))


def error_body(error: StepwellError, exchange: Exchange) -> dict[str, Any]:
    """OpenAI's error object; beside it the route, where the client asked for it."""
    body: dict[str, Any] = {
        "error": {
            "message": error.message,
            "type": error.type,
            "param": error.param,
            "code": error.code,
        }
    }
    if exchange.explain and exchange.traces:
        body["stepwell"] = trace_wire(exchange.request_id, exchange.traces)
    return body


def error_event(error: StepwellError, exchange: Exchange) -> dict[str, Any]:
    """The body as an event in a stream. Clients keep only what is in `error` of such an event, so
    the route stands inside it.
    """
    body = error_body(error, exchange)
    if (route := body.pop("stepwell", None)) is not None:
        body["error"]["stepwell"] = route
    return body


def error_headers(error: StepwellError) -> dict[str, str]:
    headers: dict[str, str] = {}
    if error.retry_after is not None:
        headers["retry-after"] = str(max(1, ceil(error.retry_after)))
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    return headers


def _routing(error: HTTPException, exchange: Exchange) -> StepwellError:
    """What the framework's router raises."""
    exchange.headers.update({k.lower(): v for k, v in (error.headers or {}).items()})
    if error.status_code == 404:
        return NotFound("There is no such URL here.", code="unknown_url")
    if error.status_code == 405:
        return MethodNotAllowed(f"{exchange.method} is not allowed here.")
    if error.status_code < 500:
        return ClientError(str(error.detail))
    return Internal(INTERNAL.format(exchange.request_id))


def _where(error: BaseException) -> list[str]:
    """Types and source lines of an error and its causes. Not their messages: those may quote the
    request.
    """
    lines: list[str] = []
    at: BaseException | None = error
    seen: set[int] = set()
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        lines.append(type(at).__qualname__)
        lines += [
            f"{frame.filename}:{frame.lineno} {frame.name}"
            for frame in traceback.extract_tb(at.__traceback__)
        ]
        at = at.__cause__ or at.__context__
    return lines[:MAX_PLACES]


def _log() -> Any:
    return structlog.get_logger("stepwell.api")
